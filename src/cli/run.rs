//! `kscope run`: decode without a screen; text to standard output, figures to standard error.
