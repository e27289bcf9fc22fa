//! Which cores the servers run on and which the load clients: apart, so that neither takes the other's time.
//! A child process and a new thread inherit the cores of the thread that starts them.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The machine's usable cores, divided.
#[derive(Clone, Debug)]
pub struct Cores {
    server: Vec<usize>,
    load: Vec<usize>,
}

impl Cores {
    /// Gives the server `wanted` cores (half of them by default) and the load clients the rest, and moves the
    /// calling thread to those. On a single core both share it.
    pub fn divide(wanted: Option<usize>) -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask which cores are usable")?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| allowed.is_set(*core))
            .collect();
        let cores = split(&all, wanted)?;
        pin(&cores.load)?;
        Ok(cores)
    }

    /// How many cores a server has.
    pub fn server(&self) -> usize {
        self.server.len()
    }

    /// How many cores the load clients have.
    pub fn load(&self) -> usize {
        self.load.len()
    }

    /// Runs `start` on the servers' cores, so that what it starts stays there.
    pub fn on_server<T>(&self, start: impl FnOnce() -> T) -> Result<T> {
        pin(&self.server)?;
        let started = start();
        pin(&self.load)?;
        Ok(started)
    }
}

fn split(all: &[usize], wanted: Option<usize>) -> Result<Cores> {
    let (server, load) = match (all, wanted) {
        ([], _) => bail!("no usable core"),
        ([only], None | Some(1)) => (vec![*only], vec![*only]),
        (_, Some(count)) if count == 0 || count >= all.len() => bail!(
            "{count} cores for the server, of {}: leave at least one to each side",
            all.len()
        ),
        (_, wanted) => {
            let (server, load) = all.split_at(wanted.unwrap_or(all.len() / 2));
            (server.to_vec(), load.to_vec())
        }
    };
    Ok(Cores { server, load })
}

fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).with_context(|| format!("cannot move to cores {cores:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cores_are_the_servers_unless_told_otherwise() {
        let half = split(&[0, 1, 2, 3], None).unwrap();
        assert_eq!((half.server, half.load), (vec![0, 1], vec![2, 3]));
        let three = split(&[0, 1, 2, 3], Some(3)).unwrap();
        assert_eq!((three.server(), three.load()), (3, 1));
    }

    #[test]
    fn a_single_core_is_shared_and_nobody_is_left_without() {
        let single = split(&[5], None).unwrap();
        assert_eq!((single.server, single.load), (vec![5], vec![5]));
        assert!(split(&[0, 1], Some(2)).is_err());
        assert!(split(&[0, 1], Some(0)).is_err());
        assert!(split(&[], None).is_err());
    }
}
