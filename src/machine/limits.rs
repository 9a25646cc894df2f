//! How much memory this process may take, besides what the machine has: its own limits (`ulimit`), and
//! those of its control group (containers, `systemd-run`), of which both versions exist.

use std::path::{Path, PathBuf};

use super::{Room, kilobytes};

/// What every limit that is set has left.
pub(super) fn rooms() -> Vec<Room> {
    let mut rooms = of_process();
    rooms.extend(of_groups(
        &std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        Path::new("/sys/fs/cgroup"),
    ));
    rooms
}

/// The limits on address space and on data, against what is mapped.
#[cfg(target_os = "linux")]
fn of_process() -> Vec<Room> {
    use rustix::process::{Resource, getrlimit};
    let rooms = [
        (Resource::As, "VmSize:", "the limit on address space (ulimit -v)"),
        (Resource::Data, "VmData:", "the limit on data (ulimit -d)"),
    ];
    let room = |(resource, used, of): (Resource, &str, &str)| {
        let most = getrlimit(resource).current?;
        let left = most.saturating_sub(kilobytes("/proc/self/status", used)?);
        Some(Room { left, of: of.to_owned() })
    };
    rooms.into_iter().filter_map(room).collect()
}

#[cfg(not(target_os = "linux"))]
fn of_process() -> Vec<Room> {
    Vec::new()
}

/// Memory that a version of control groups counts, by the names of its files.
struct Names {
    most: &'static str,
    used: &'static str,
    /// In `memory.stat`: pages of files, which go when memory is needed.
    reclaimable: &'static str,
}

const V2: Names =
    Names { most: "memory.max", used: "memory.current", reclaimable: "inactive_file " };
const V1: Names = Names {
    most: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file ",
};

/// The limits of the group and of those above it; `groups` is `/proc/self/cgroup`, and `root` where
/// they are mounted. Inside a container the group's own folder may be the root.
fn of_groups(groups: &str, root: &Path) -> Vec<Room> {
    let mut rooms = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (names, root) = match controllers {
            "" => (V2, root.to_owned()),
            _ if controllers.split(',').any(|name| name == "memory") => (V1, root.join("memory")),
            _ => continue,
        };
        let own: PathBuf = Path::new(path)
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect();
        rooms.extend(own.ancestors().filter_map(|group| room(&root.join(group), &names)));
    }
    rooms
}

fn room(folder: &Path, names: &Names) -> Option<Room> {
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    // Without a limit, version 2 says `max` and version 1 a number beyond any memory.
    let most = number(names.most).filter(|most| *most < 1 << 60)?;
    let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| line.strip_prefix(names.reclaimable));
    let reclaimable = reclaimable.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let used = number(names.used)?.saturating_sub(reclaimable);
    let of = format!("the control group's limit ({})", names.most);
    Some(Room { left: most.saturating_sub(used), of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_groups_and_of_those_above_count() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/memory.max", "1000\n");
        write("a/memory.current", "400\n");
        write("a/memory.stat", "anon 5\nactive_file 7\ninactive_file 100\n");
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "300\n");
        write("memory/c/memory.limit_in_bytes", "500\n");
        write("memory/c/memory.usage_in_bytes", "600\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.usage_in_bytes", "0\n");
        let left = |groups| -> Vec<u64> {
            of_groups(groups, root.path()).iter().map(|room| room.left).collect()
        };
        assert_eq!(left("0::/a/b\n"), [700]);
        assert_eq!(left("5:cpu:/x\n4:memory,hugetlb:/c\n"), [0]);
        assert_eq!(left("0::/../../a\n"), [700], "a group above the root is not climbed to");
        assert!(left("0::/\n").is_empty() && left("").is_empty() && left("odd").is_empty());
        let of = &of_groups("0::/a", root.path())[0].of;
        assert_eq!(of, "the control group's limit (memory.max)");
    }
}
