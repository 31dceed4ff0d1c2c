//! Active checks: a small request to every server, now and then.
//!
//! Owns: one probe, and when the next one is due. May touch: [`crate::upstream`]. The control thread
//! runs one [`watch`] per server, however many workers there are.

use super::dial::{Destination, Place, Places, Unconnected, dial_at, is_ours};
use crate::upstream::{
    ActiveHealth, Reach, Server, Speaks,
    health::active::{Check, Tally},
};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

/// Status lines and interim responses are short; a server that sends more than this is not speaking
/// HTTP.
const LONGEST: usize = 8 * 1024;

/// Probes `server` until dropped.
pub async fn watch(server: Arc<Server>, reach: Arc<Reach>, check: Check) {
    let mut tally = Tally::default();
    let mut turn = server.id();
    // Servers that are added together must not all be asked at the same moment.
    sleep(spread(check.interval.min(Duration::from_secs(1)), turn, 100)).await;
    loop {
        let outcome = if server.is_resolved() {
            probe(&Destination::new(&server, &reach), &check).await
        } else {
            Err(Failed::There("its name does not resolve".to_owned()))
        };
        let before = server.active();
        let (upstream, address) = (server.upstream(), server.address());
        let after = if matches!(outcome, Err(Failed::Here(_))) {
            before
        } else {
            tally.count(outcome.is_ok(), before, &check)
        };
        server.set_active(after);
        let outcome = outcome.map_err(|failed| failed.to_string());
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
enum Failed {
    /// No request was sent, so this says nothing about the server.
    Here(io::Error),
    There(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(error) => write!(f, "not asked: {error}"),
            Self::There(reason) => f.write_str(reason),
        }
    }
}

/// One request to each of the server's addresses, until one answers well; says why it failed.
async fn probe(to: &Destination<'_>, check: &Check) -> Result<(), Failed> {
    let places = Places::of(to);
    let share = check.timeout / places.count().max(1) as u32;
    let mut outcome = Err(Failed::There("its name has no address".to_owned()));
    for turn in 0..places.count() {
        outcome = probe_at(places.at(turn), to, check, share).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn probe_at(
    place: Place<'_>,
    to: &Destination<'_>,
    check: &Check,
    within: Duration,
) -> Result<(), Failed> {
    let status = match timeout(within, ask(place, to, check)).await {
        Ok(Ok(status)) => status,
        Ok(Err(Unconnected::Io(error))) if is_ours(&error) => return Err(Failed::Here(error)),
        Ok(Err(error)) => return Err(Failed::There(error.to_string())),
        Err(_) => return Err(Failed::There(format!("no answer within {within:?}"))),
    };
    if check.status.iter().any(|range| (range.first..=range.last).contains(&status)) {
        Ok(())
    } else {
        Err(Failed::There(format!("it answered {status}")))
    }
}

async fn ask(place: Place<'_>, to: &Destination<'_>, check: &Check) -> Result<u16, Unconnected> {
    let mut stream = dial_at(place, to, Speaks::Http1).await?;
    let host = check.host.as_deref().unwrap_or(to.server.host());
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: sheave-health-check\r\nconnection: close\r\n\r\n",
        check.path
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("it closed before the end of its status line").into());
        }
        if let Some(status) = final_status(&mut head)? {
            return Ok(status);
        }
        if head.len() > LONGEST {
            return Err(io::Error::other("its status line has no end").into());
        }
    }
}

/// The status of the first response that is not interim (RFC 9110 §15.2), as soon as it is there.
fn final_status(head: &mut Vec<u8>) -> io::Result<Option<u16>> {
    while let Some(end) = memchr::memchr(b'\n', head) {
        let status = status(&head[..end]);
        let status = status.ok_or_else(|| io::Error::other("it speaks no HTTP/1"))?;
        if status == 101 || !(100..200).contains(&status) {
            return Ok(Some(status));
        }
        let ends = [&b"\r\n\r\n"[..], b"\n\n"];
        let ends =
            ends.into_iter().filter_map(|it| Some(memchr::memmem::find(head, it)? + it.len()));
        let Some(end) = ends.min() else { break };
        head.drain(..end);
    }
    Ok(None)
}

fn status(line: &[u8]) -> Option<u16> {
    // The reason phrase after it may be in any encoding.
    let line = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?.trim_ascii();
    std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_responses_are_not_the_answer() {
        let of = |text: &str| final_status(&mut text.as_bytes().to_vec()).ok().flatten();
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        assert_eq!(of(&format!("{hints}HTTP/1.1 100 Go on\n\nHTTP/1.1 200 OK\r\n")), Some(200));
        assert_eq!((of(hints), of(&hints[..30])), (None, None));
        assert_eq!(of("HTTP/1.1 101 Switching\r\n"), Some(101));
        assert!(final_status(&mut format!("{hints}SSH-2.0\r\n").into_bytes()).is_err());
    }

    #[test]
    fn status_lines() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r"), Some(204));
        assert_eq!(status(b"HTTP/1.0 200\r"), Some(200));
        assert_eq!(status(b"HTTP/1.1 200 \xe9t\xe9\r"), Some(200));
        assert_eq!(status(b"HTTP/1.1 2000 no\r"), Some(2000));
        assert_eq!(status(b"SSH-2.0-OpenSSH"), None);
    }
}
