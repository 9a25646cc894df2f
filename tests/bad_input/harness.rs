//! One input of the corpus, what is expected of it, and how it is run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Memory that an input may take beyond what the program takes with a good one.
const MOST_BYTES: u64 = 512 << 20;

/// Processor time that an input may take beyond what the program takes with a good one.
const MOST_TIME: Duration = Duration::from_secs(5);

/// When a run is ended that does not end by itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// Bytes of the longest message: 1,200 characters, of which some take three bytes.
const LONGEST_MESSAGE: usize = 3 * 1200 + 16;

/// What an input must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Exit code 2 and one sentence.
    Refused,
    /// Exit code 0: read by decision, as the programs of others read it.
    Accepted,
    /// Damage by chance: one of the two.
    Either,
}

/// Writes the files of an input into an empty folder.
type Setup = Box<dyn Fn(&Path) + Send + Sync>;

/// An input.
pub struct Case {
    /// The reader in the table.
    pub reader: &'static str,
    pub name: String,
    pub expected: Expected,
    setup: Setup,
    arguments: Vec<OsString>,
    stdin: PathBuf,
    variables: Vec<(&'static str, String)>,
    /// A word of the sentence.
    word: String,
}

impl Case {
    /// An input that must be refused.
    pub fn new(
        reader: &'static str,
        name: impl Into<String>,
        arguments: &[&str],
        setup: impl Fn(&Path) + Send + Sync + 'static,
    ) -> Self {
        Self {
            reader,
            name: name.into(),
            expected: Expected::Refused,
            setup: Box::new(setup),
            arguments: arguments.iter().map(OsString::from).collect(),
            stdin: PathBuf::from("/dev/null"),
            variables: Vec::new(),
            word: String::new(),
        }
    }

    /// With another expectation.
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// The sentence of the refusal must have this in it.
    pub fn naming(self, word: &str) -> Self {
        Self { word: word.to_owned(), ..self }
    }

    /// With a file as standard input.
    pub fn reading(self, stdin: &str) -> Self {
        Self { stdin: stdin.into(), ..self }
    }

    /// With an environment variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// With one more argument, which need not be text.
    pub fn and(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// A run that has ended.
struct Ended {
    code: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
    time: Duration,
    bytes: u64,
    left: BTreeSet<PathBuf>,
}

/// Files and folders under a folder.
fn everything(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        }
        found.insert(path);
    }
    found
}

/// Waits for a child and gives its exit code (`None` after a signal), its processor time and its peak of
/// resident memory in bytes. A child that does not end is killed.
fn wait(child: &std::process::Child) -> (Option<i32>, Duration, u64) {
    let started = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: all zeros are a valid `rusage`, a struct of numbers.
        let mut used: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the child is this process's own and nobody else waits for it; both pointers are
        // to values that outlive the call.
        let ended =
            unsafe { libc::wait4(child.id() as i32, &mut status, libc::WNOHANG, &mut used) };
        if ended != 0 {
            let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            let time = |of: libc::timeval| {
                Duration::from_secs(of.tv_sec as u64) + Duration::from_micros(of.tv_usec as u64)
            };
            return (code, time(used.ru_utime) + time(used.ru_stime), used.ru_maxrss as u64 * 1024);
        }
        if started.elapsed() > PATIENCE {
            // SAFETY: the child has not been waited for, so its number is still its own.
            unsafe { libc::kill(child.id() as i32, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn run(case: &Case) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("in");
    std::fs::create_dir(&at).unwrap();
    (case.setup)(&at);
    let before = everything(&at);
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str| std::fs::File::create(path(name)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kscope"));
    command
        .args(&case.arguments)
        .current_dir(&at)
        .env("XDG_CACHE_HOME", path("cache"))
        .env("XDG_CONFIG_HOME", &at)
        .env("TERM", "xterm")
        .env_remove("RUST_BACKTRACE")
        .envs(case.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(std::fs::File::open(&case.stdin).unwrap()))
        .stdout(Stdio::from(file("out")))
        .stderr(Stdio::from(file("err")));
    #[expect(
        clippy::zombie_processes,
        reason = "wait4 waits for it, and counts its time and memory"
    )]
    let child = command.spawn().unwrap();
    let (code, time, bytes) = wait(&child);
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    let left = everything(&at).difference(&before).cloned().collect();
    Ended { code, out: read("out"), err: read("err"), time, bytes, left }
}

/// What is wrong with how an input ended; nothing where all is well.
fn faults(case: &Case, ended: &Ended, (time, bytes): (Duration, u64)) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\n' && *byte != b'\t') || *byte == 127;
    let err = String::from_utf8_lossy(&ended.err);
    must(!err.contains("panicked at"), "panics".to_owned());
    must(!ended.err.iter().any(is_control), "prints a control character to standard error".into());
    must(!ended.out.iter().any(is_control), "prints a control character".to_owned());
    must(ended.time < MOST_TIME + time, format!("computes for {:.1} s", ended.time.as_secs_f64()));
    must(ended.bytes < MOST_BYTES + bytes, format!("takes {} MiB", ended.bytes >> 20));
    let expected: &[i32] = match case.expected {
        Expected::Refused => &[2],
        Expected::Accepted => &[0],
        Expected::Either => &[0, 2],
    };
    must(
        ended.code.is_some_and(|code| expected.contains(&code)),
        format!("ends with {:?}", ended.code),
    );
    if ended.code == Some(2) {
        must(
            err.starts_with("kscope: ") && err.ends_with('\n') && err.matches('\n').count() == 1,
            "is refused in other than one sentence".to_owned(),
        );
        must(ended.out.is_empty(), "prints before it is refused".to_owned());
        must(err.len() < LONGEST_MESSAGE, format!("is refused in {} bytes", err.len()));
        must(ended.left.is_empty(), format!("leaves {:?}", ended.left));
        must(err.contains(&case.word), format!("is refused without `{}`", case.word));
    }
    faults
}

/// Runs all inputs, two at a time, prints the table and fails with everything that went wrong.
/// `least` is how many inputs there must be.
pub fn check_all(cases: Vec<Case>, least: usize) {
    assert!(cases.len() >= least, "{} inputs are fewer than {least}", cases.len());
    let only = std::env::var("KSCOPE_BAD_INPUT").unwrap_or_default();
    let started = Instant::now();
    let good = Case::new("", "", &["run", "--prompt", "hi", "--max-new", "1"], |_| ());
    let good = run(&good.expecting(Expected::Accepted));
    assert_eq!(good.code, Some(0), "{}", String::from_utf8_lossy(&good.err));
    let usual = (good.time, good.bytes);
    let count = cases.len();
    let queue = Mutex::new(cases.into_iter().filter(|case| case.name.contains(&only)));
    let found = Mutex::new((BTreeMap::<_, [usize; 3]>::new(), Vec::new(), Vec::new(), (0.0, 0)));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { break };
                    let ended = run(&case);
                    let faults = faults(&case, &ended, usual);
                    let mut found = found.lock().unwrap();
                    let row = found.0.entry(case.reader).or_default();
                    row[0] += 1;
                    row[if ended.code == Some(0) { 2 } else { 1 }] += 1;
                    if case.expected == Expected::Accepted {
                        found.1.push(format!("{}: {}", case.reader, case.name));
                    }
                    let said = String::from_utf8_lossy(&ended.err);
                    let said: String = said.chars().take(300).collect();
                    if !only.is_empty() {
                        println!("{} {}: {said}", case.reader, case.name);
                    }
                    if !faults.is_empty() {
                        let faults = faults.join(", ");
                        found.2.push(format!("{}: {} {faults}: {said:?}", case.reader, case.name));
                    }
                    found.3 = (ended.time.as_secs_f64().max(found.3.0), ended.bytes.max(found.3.1));
                }
            });
        }
    });
    let (table, accepted, faults, (slowest, largest)) = found.into_inner().unwrap();
    println!("{:<22} {:>6} {:>8} {:>9}", "reader", "inputs", "refused", "accepted");
    for (reader, [inputs, refused, accepted]) in &table {
        println!("{reader:<22} {inputs:>6} {refused:>8} {accepted:>9}");
    }
    println!("accepted by decision: {}", accepted.join("; "));
    let total = |column: usize| table.values().map(|row| row[column]).sum::<usize>();
    println!(
        "figure\tinputs\t{count}: {} refused, {} read; the slowest {slowest:.1} s, the largest {} MiB",
        total(1),
        total(2),
        largest >> 20
    );
    println!(
        "{count} inputs in {:.0} s; the slowest took {slowest:.1} s, the largest {} MiB",
        started.elapsed().as_secs_f64(),
        largest >> 20
    );
    assert!(faults.is_empty(), "{} inputs:\n{}", faults.len(), faults.join("\n"));
}

/// Damages bytes by chance: some are changed, a part is doubled, or the end is cut off.
pub fn damaged(bytes: &[u8], within: usize, seed: u64) -> Vec<u8> {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let mut rng = StdRng::seed_from_u64(seed);
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..within.min(out.len()).max(1));
        match rng.random_range(0..4) {
            0 | 1 => out[at] = rng.random(),
            2 => {
                let part = out[at..(at + 12).min(out.len())].to_vec();
                out.splice(at..at, part);
            }
            _ => out.truncate(at.max(1)),
        }
    }
    out
}

/// A pipe without anybody at the other end.
pub fn pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A file of this many zeros, which take no space.
pub fn hole(path: &Path, bytes: u64) {
    let _ = std::fs::remove_file(path);
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

/// A link, in place of a file.
pub fn link(path: &Path, to: &str) {
    let _ = std::fs::remove_file(path);
    std::os::unix::fs::symlink(to, path).unwrap();
}
