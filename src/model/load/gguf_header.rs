//! Checks a GGUF header for what candle's reader does not check.

/// Whether the metadata asks for an alignment of zero, which candle divides by. A header that ends
/// early or makes no sense is left to candle, whose error says what is wrong.
pub(super) fn has_zero_alignment(file: &[u8]) -> bool {
    let mut header = Header { rest: file, long_counts: true };
    header.find_zero_alignment().unwrap_or(false)
}

struct Header<'a> {
    rest: &'a [u8],
    /// Whether counts have eight bytes; they have four in version 1.
    long_counts: bool,
}

impl<'a> Header<'a> {
    fn find_zero_alignment(&mut self) -> Option<bool> {
        self.take(4)?;
        self.long_counts = self.u32()? != 1;
        self.count()?;
        for _ in 0..self.count()? {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            // Integers only: candle accepts no other type as an alignment.
            if key == b"general.alignment" && kind <= 5 && value.iter().all(|&byte| byte == 0) {
                return Some(true);
            }
        }
        Some(false)
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<u64> {
        match self.long_counts {
            true => Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            false => self.u32().map(u64::from),
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    /// The bytes of a value, none for a list. Lists may nest to a depth that no real file reaches.
    fn value(&mut self, kind: u32, depth: usize) -> Option<&'a [u8]> {
        match kind {
            0 | 1 | 7 => self.take(1),
            2 | 3 => self.take(2),
            4..=6 => self.take(4),
            10..=12 => self.take(8),
            8 => self.text(),
            9 if depth < 64 => {
                let kind = self.u32()?;
                for _ in 0..self.count()? {
                    self.value(kind, depth + 1)?;
                }
                Some(&[])
            }
            _ => None,
        }
    }
}
