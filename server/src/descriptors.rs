//! Open files and sockets: how many the system allows this process, and how many connections that leaves room for.
//!
//! A crowd of clients must not take the last one: a door is closed over a socket, too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything that is no client: the database, door systems, mail, exports, files.
const KEPT: usize = 512;
/// Of one connection: its socket, and the handle by which it is cut.
const PER_CONNECTION: usize = 2;

/// How many connections there may be: as many as are wanted, if there is room for them.
pub(crate) fn connections(wanted: usize) -> usize {
    let allowed = raised();
    let most = room(allowed);
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            allowed,
            "fewer connections than http.connections: raise the limit of open files (LimitNOFILE, ulimit -n)"
        );
    }
    wanted.min(most)
}

fn room(allowed: usize) -> usize {
    (allowed.saturating_sub(KEPT) / PER_CONNECTION).max(1)
}

/// What the system allows, once it was asked for as much as it allows at all.
fn raised() -> usize {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        // Where it is refused, what was allowed before still is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now });
    }
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_doors() {
        assert_eq!(room(1024), 256);
        assert_eq!(room(20_000), 9_744);
        assert_eq!(room(100), 1, "somebody must be answered");
        assert_eq!(connections(3), 3);
        let most = connections(usize::MAX);
        assert!(most == room(usize::MAX) || most * PER_CONNECTION + KEPT <= raised(), "{most}");
    }
}
