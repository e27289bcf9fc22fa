//! What the kernel says about a process and about itself: `/proc` read and parsed. Linux only, like the benchmark.

use std::fs;

use anyhow::{Context, Result};

/// CPU seconds that all threads of a process have used, in user and kernel mode.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks = parse_cpu_ticks(&read(&format!("/proc/{pid}/stat"))?)
        .with_context(|| format!("/proc/{pid}/stat has no times in it"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let kib = parse_kib(&read(&format!("/proc/{pid}/status"))?, "VmRSS:")
        .with_context(|| format!("/proc/{pid}/status has no VmRSS in it"))?;
    Ok(kib * 1024)
}

/// Kernel memory that grows with connections, in bytes: all slab caches, and what TCP accounts for buffers.
/// Both ends of a loopback connection are in it.
#[derive(Clone, Copy, Debug)]
pub struct KernelMemory {
    pub slab: u64,
    pub tcp_buffers: u64,
}

impl KernelMemory {
    pub fn read() -> Result<Self> {
        let slab = parse_kib(&read("/proc/meminfo")?, "Slab:")
            .context("/proc/meminfo has no Slab in it")?;
        let pages = parse_tcp_pages(&read("/proc/net/sockstat")?)
            .context("/proc/net/sockstat has no TCP mem in it")?;
        Ok(Self {
            slab: slab * 1024,
            tcp_buffers: pages * rustix::param::page_size() as u64,
        })
    }
}

/// The value of the first line of `/proc/cpuinfo` that begins with `model name`.
pub fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// All memory of the machine in bytes.
pub fn memory_bytes() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    Some(parse_kib(&info, "MemTotal:")? * 1024)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// utime + stime: fields 14 and 15; the second field is a name in brackets that may hold anything.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_kib(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP: "))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_survive_a_name_with_spaces_and_brackets() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 75 9 9 20 0 4 0 100 1 1";
        assert_eq!(parse_cpu_ticks(stat), Some(325));
        assert_eq!(parse_cpu_ticks("42 (cut"), None);
    }

    #[test]
    fn sizes_are_found_by_their_whole_name() {
        let table = "SlabOther:  1 kB\nSlab:      2048 kB\nVmRSS:\t  77 kB\n";
        assert_eq!(parse_kib(table, "Slab:"), Some(2048));
        assert_eq!(parse_kib(table, "VmRSS:"), Some(77));
        assert_eq!(parse_kib(table, "VmHWM:"), None);
    }

    #[test]
    fn tcp_pages_are_those_of_the_tcp_line() {
        let sockstat =
            "sockets: used 18\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 371\nUDP: inuse 0 mem 9\n";
        assert_eq!(parse_tcp_pages(sockstat), Some(371));
    }

    #[test]
    fn this_process_has_memory_and_its_cpu_time_grows() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        let before = cpu_seconds(pid).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while cpu_seconds(pid).unwrap() <= before {
            assert!(
                std::time::Instant::now() < deadline,
                "busy for 10 s, no CPU time counted"
            );
        }
        assert!(KernelMemory::read().unwrap().slab > 0);
    }
}
