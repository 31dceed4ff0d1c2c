//! Active checks: a small request to every server, now and then.
//!
//! Owns: one probe, and when the next one is due. May touch: [`crate::clock`], [`crate::http1`],
//! [`crate::settings`], [`crate::upstream`]. It goes the same way as a request, with connections of
//! its own. The control thread runs one [`watch`] per server, however many workers there are.

use super::{
    Destination, Home, Taker, Terms,
    ask::{AnswerVerdict, CheckRequest},
    dial::is_ours,
    failure::Failure,
    fetch,
    http2_settings::Http2Settings,
    pool,
};
use crate::{
    clock::Clock,
    http1::request_head::HeadLimits,
    settings::{HealthCheck, Timeouts},
    upstream::{ActiveHealth, Reach, Server, health::active::RiseAndFall},
};
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How large the head of an answer may be.
const HEAD: HeadLimits = HeadLimits { head: 64 * 1024, fields: 200 };

/// Probes `server` until dropped.
pub async fn watch(server: Arc<Server>, reach: Arc<Reach>, check: HealthCheck) {
    let mut tally = RiseAndFall::default();
    let mut turn = server.id();
    // Servers that are added together must not all be asked at the same moment.
    sleep(spread(check.interval.min(Duration::from_secs(1)), turn, 100)).await;
    loop {
        let outcome = if server.is_resolved() {
            probe(&Destination::new(&server, &reach), &check).await
        } else {
            Err(ProbeFailed::There("its name does not resolve".to_owned()))
        };
        let before = server.active();
        let (upstream, address) = (server.upstream(), server.address());
        let after = if matches!(outcome, Err(ProbeFailed::Here(_))) {
            before
        } else {
            tally.count(outcome.is_ok(), before, &check)
        };
        let outcome = outcome.map_err(|failed| failed.to_string());
        if outcome.is_err() || after == ActiveHealth::Up {
            server.note_check(outcome.as_ref().err().cloned());
        }
        server.set_active(after);
        match (&outcome, after) {
            (Err(reason), ActiveHealth::Down) if before != after => {
                tracing::warn!(upstream, server = address, reason, "health check: down");
            }
            (Ok(()), ActiveHealth::Up) if before == ActiveHealth::Down => {
                tracing::info!(upstream, server = address, "health check: up again");
            }
            (Err(reason), _) => {
                tracing::debug!(upstream, server = address, reason, "health check failed");
            }
            _ => {}
        }
        turn = turn.wrapping_add(0x9e37_79b9);
        sleep(check.interval.mul_f64(0.9) + spread(check.interval, turn, 20)).await;
    }
}

/// Up to `percent` of `interval`, by a hash of `seed`.
fn spread(interval: Duration, seed: u64, percent: u32) -> Duration {
    let part = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
    interval.mul_f64(part * f64::from(percent) / 100.0)
}

/// Why a probe failed.
enum ProbeFailed {
    /// No request was sent, so this says nothing about the server.
    Here(io::Error),
    There(String),
}

impl fmt::Display for ProbeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(error) => write!(f, "not asked: {error}"),
            Self::There(reason) => f.write_str(reason),
        }
    }
}

/// Sends one request to each of the server's addresses, until one answers well. Says why they
/// failed.
async fn probe(to: &Destination<'_>, check: &HealthCheck) -> Result<(), ProbeFailed> {
    if to.reach.means.socket.is_some() {
        return probe_at(to, check, check.timeout).await;
    }
    let addresses = to.server.addresses().clone();
    let share = check.timeout / addresses.len().max(1) as u32;
    let mut outcome = Err(ProbeFailed::There("its name has no address".to_owned()));
    for address in addresses.iter() {
        let only = Destination { only: Some(*address), ..Destination::new(to.server, to.reach) };
        outcome = probe_at(&only, check, share).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn probe_at(
    to: &Destination<'_>,
    check: &HealthCheck,
    within: Duration,
) -> Result<(), ProbeFailed> {
    match timeout(within, ask(to, check, within)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(no_answer(within)),
    }
}

fn no_answer(within: Duration) -> ProbeFailed {
    ProbeFailed::There(format!("no answer within {within:?}"))
}

async fn ask(
    to: &Destination<'_>,
    check: &HealthCheck,
    within: Duration,
) -> Result<(), ProbeFailed> {
    let (asked, pool) = (CheckRequest { check }, Arc::<pool::Pool>::default());
    let mut upload = asked.body();
    let timeouts = Timeouts::all(within);
    let http2 = Http2Settings::once(within);
    let begun = (Instant::now(), 0);
    let terms = Terms { timeouts: &timeouts, head: HEAD, http2: &http2, begun };
    let mut reply = match fetch(&pool, to, &asked, &mut upload, &terms).await.reply {
        Ok(reply) => reply,
        Err(failed) => {
            return Err(match failed.failure {
                Failure::Connect(error) if is_ours(&error) => ProbeFailed::Here(error),
                // These are named after a route's timeouts, which mean nothing here.
                Failure::ConnectTimeout | Failure::SendTimeout | Failure::ResponseTimeout => {
                    no_answer(within)
                }
                failure => ProbeFailed::There(failure.to_string()),
            });
        }
    };
    let verdict = match asked.judge(&mut reply) {
        AnswerVerdict::Told(outcome) => outcome,
        AnswerVerdict::InTheBody => {
            let limits = pool::PoolLimits { idle: 0, idle_timeout: 0, requests: 0, age: 0 };
            let home = Home { pool, limits, lease: None, clock: Clock::start() };
            let body = reply.into_body(upload, home, Taker::whole(within));
            asked.read(body).await
        }
    };
    verdict.map_err(ProbeFailed::There)
}
