//! What operators have set, told when a config is loaded again.
//!
//! Owns: the line in the log. May touch: [`crate::snapshot`].

use crate::snapshot::Snapshot;

/// Tells of every server that does not do what the config says.
pub(super) fn tell(snapshot: &Snapshot) {
    for group in &snapshot.groups {
        for member in group.upstream.members() {
            let Some(set) = member.server.overruled() else { continue };
            tracing::info!(
                upstream = group.upstream.name(),
                server = member.server.address(),
                drained = set.drained,
                weight = set.weight,
                by = &*set.by,
                "set at the admin address, and kept"
            );
        }
    }
}
