//! The background work for servers: each has a task for its active checks and one for name
//! look-ups.
//!
//! Owns: the tasks. A reload keeps those for which nothing changed. May touch: [`crate::origin`],
//! [`crate::route`], [`crate::settings`], [`crate::task`], [`crate::upstream`]. Runs on the control
//! thread, independent of the number of workers.

use crate::{
    origin::probe,
    route::Group,
    settings::HealthCheck,
    task,
    upstream::{
        Member,
        health::ActiveHealth::{Checking, Unchecked},
        resolve,
    },
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};

/// How long the start waits for look-ups of names.
const FIRST_LOOK_UP: Duration = Duration::from_secs(2);

/// The tasks under way.
#[derive(Default)]
pub struct Tending {
    tasks: HashMap<Work, AbortHandle>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Work {
    server: u64,
    kind: TaskKind,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum TaskKind {
    Resolve(Duration),
    Check(String),
}

impl Tending {
    /// Runs the tasks that `groups` need, and no others.
    pub fn update(&mut self, groups: &[Arc<Group>]) {
        let mut before = std::mem::take(&mut self.tasks);
        for group in groups {
            for member in group.upstream.members() {
                let server = &member.server;
                if resolve::has_name(server) {
                    let work = Work {
                        server: server.id(),
                        kind: TaskKind::Resolve(group.resolve_interval),
                    };
                    self.keep(&mut before, work, || {
                        resolve::watch(Arc::clone(server), group.resolve_interval)
                    });
                }
                if let Some(check) = group.health_check.as_ref().filter(|_| !member.terms.down) {
                    // If the check changes, or how the server is reached, the check starts anew.
                    let work = Work {
                        server: server.id(),
                        kind: TaskKind::Check(format!("{} {check:?}", member.reach.key())),
                    };
                    self.keep(&mut before, work, || watch(member, check));
                }
            }
        }
        for task in before.into_values() {
            task.abort();
        }
        for group in groups {
            let members = group.upstream.members();
            // Without checks, for example while a server is `down`, an earlier result no longer
            // counts. And a new server no longer waits for its first check if the servers that
            // worked are gone.
            let unchecked = group.health_check.is_none();
            let alone = !members.iter().any(works);
            for Member { server, terms, .. } in members {
                if !unchecked && terms.down {
                    server.set_active(Checking);
                } else if unchecked || alone && server.active() == Checking {
                    server.set_active(Unchecked);
                }
            }
        }
    }

    fn keep<F>(
        &mut self,
        before: &mut HashMap<Work, AbortHandle>,
        work: Work,
        begin: impl FnOnce() -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = before.remove(&work);
        let task = task.unwrap_or_else(|| task::spawn(begin()).abort_handle());
        self.tasks.insert(work, task);
    }
}

/// Whether a server may get requests, by its checks.
fn works(member: &Member) -> bool {
    !member.terms.down && member.terms.weight > 0 && member.server.active().is_usable()
}

fn watch(member: &Member, check: &HealthCheck) -> impl Future<Output = ()> + Send + 'static {
    probe::watch(Arc::clone(&member.server), Arc::clone(&member.reach), check.clone())
}

/// Looks up the names of servers without an address, all at once and for a limited time.
pub async fn resolve_new(groups: &[Arc<Group>]) {
    let mut looking = JoinSet::new();
    for member in groups.iter().flat_map(|group| group.upstream.members()) {
        let server = &member.server;
        if resolve::has_name(server) && !server.is_resolved() {
            let server = Arc::clone(server);
            looking.spawn(async move { resolve::resolve(&server).await });
        }
    }
    if timeout(FIRST_LOOK_UP, async { while looking.join_next().await.is_some() {} }).await.is_err()
    {
        tracing::warn!("some server names have not resolved yet; the look-ups go on");
        looking.detach_all();
    }
}
