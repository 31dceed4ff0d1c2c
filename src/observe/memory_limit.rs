//! How much memory the process may have: what its container is given, or the machine has.
//!
//! Owns: reading that from the system. May touch: nothing outside this room.

use std::{fs, path::Path};

/// Bytes; 0 if the system does not say.
pub fn bytes() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    // On a machine without a limit the group's file says "max", or a number above all memory.
    [of_groups(&groups, &read), machine].into_iter().flatten().min().unwrap_or(0)
}

/// The lowest limit of the process's control groups, by `/proc/self/cgroup`: of its own and of those
/// above it. A container often sees only its own, and that at the root.
fn of_groups(groups: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        // Number, controllers, path; version 2 names no controllers.
        let mut parts = line.splitn(3, ':').skip(1);
        let (root, file) = match parts.next()? {
            "" => ("/sys/fs/cgroup", "memory.max"),
            it if it.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let own = Path::new(root).join(parts.next()?.trim_start_matches('/'));
        let groups = own.ancestors().take_while(|path| path.starts_with(root));
        groups.filter_map(|path| read(&path.join(file))?.trim().parse::<u64>().ok()).min()
    });
    limits.min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_counts() {
        let read = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/system.slice/sheave.service/memory.max" => "max\n",
                "/sys/fs/cgroup/system.slice/memory.max" => "3000\n",
                "/sys/fs/cgroup/memory.max" => "5000\n",
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes" => "7000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes" => "9223372036854771712\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let limit = |groups| of_groups(groups, &read);
        assert_eq!(limit("0::/system.slice/sheave.service\n"), Some(3000));
        assert_eq!(limit("0::/\n"), Some(5000));
        assert_eq!(limit("0::/elsewhere/../..\n"), Some(5000));
        assert_eq!(limit("11:cpu:/docker/1\n5:hugetlb,memory:/docker/1\n"), Some(7000));
        assert_eq!(limit("1:cpu:/\nnonsense\n"), None);
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24689668 kB\n"), Some(24_689_668 * 1024));
        assert_eq!(total("MemTotal: much\n"), None);
    }

    #[test]
    fn this_machine_has_some() {
        assert!(bytes() > 1 << 20);
    }
}
