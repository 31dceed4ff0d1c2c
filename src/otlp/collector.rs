//! One export: a request to the collector, and its answer.
//!
//! Owns: the connections to it, and what is told of exports. May touch: [`crate::clock`],
//! [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::origin`],
//! [`crate::settings`]. It goes the same way as a request, with connections of its own.

use super::{
    ExportTerms,
    answer::{ExportVerdict, judge},
    export_request::ExportRequest,
};
use crate::{
    clock::Clock,
    http1::{outgoing::Part, request_head::HeadLimits},
    message::{
        body::{Body, Want},
        upload::Upload,
    },
    observe::{metrics::Metrics, rarely::Rarely},
    origin::{
        Destination, Home, Taker, Terms,
        failure::Failure,
        fetch,
        http2_settings::Http2Settings,
        pool::{Pool, PoolLimits},
    },
    settings::Timeouts,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{
    future::poll_fn,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::time::timeout;

/// How large the head of an answer may be.
const HEAD: HeadLimits = HeadLimits { head: 64 * 1024, fields: 200 };

/// So much of an answer is read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// One connection for spans and one for metrics.
const KEPT: PoolLimits = PoolLimits { idle: 2, idle_timeout: 30_000, requests: 0, age: 3_600_000 };

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// As the label `signal`.
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// The way to the collector.
pub struct Collector {
    pool: Arc<Pool>,
    clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    rarely: Rarely<Signal>,
    /// Whether a signal's last export failed.
    down: [AtomicBool; 2],
}

impl Collector {
    /// Without a connection yet.
    pub fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        for signal in [Signal::Traces, Signal::Metrics] {
            metrics.otlp.up.with_label_values(&[signal.name()]).set(1);
        }
        Self {
            pool: Arc::default(),
            clock,
            metrics,
            rarely: Rarely::default(),
            down: Default::default(),
        }
    }

    /// Sends an export, counts it, and logs what operators should know.
    pub(super) async fn export(
        &self,
        terms: &ExportTerms,
        signal: Signal,
        body: Vec<u8>,
    ) -> ExportVerdict {
        let asked = self.ask(terms, signal.path(), body);
        let verdict = timeout(terms.timeout, asked).await;
        let verdict = verdict.unwrap_or_else(|_| later(no_answer(terms.timeout)));
        let result = match &verdict {
            ExportVerdict::Taken { rejected: 0, .. } => "success",
            ExportVerdict::Taken { .. } => "partial",
            ExportVerdict::Refused(_) => "refused",
            ExportVerdict::Later { .. } => "failed",
        };
        self.metrics.otlp.exports.with_label_values(&[signal.name(), result]).inc();
        self.tell(terms, signal, &verdict);
        verdict
    }

    /// A collector that is gone is told of once, and once when it is back; others' words once a
    /// minute.
    fn tell(&self, terms: &ExportTerms, signal: Signal, verdict: &ExportVerdict) {
        let (name, endpoint) = (signal.name(), terms.server.address());
        let is_down = matches!(verdict, ExportVerdict::Later { .. });
        self.metrics.otlp.up.with_label_values(&[name]).set((!is_down).into());
        let was_down = self.down[signal as usize].swap(is_down, Relaxed);
        if was_down && !is_down {
            tracing::info!(signal = name, endpoint, "the collector takes exports again");
        }
        let (message, words) = match verdict {
            ExportVerdict::Later { words, .. } if was_down => {
                return tracing::debug!(signal = name, endpoint, words, "still no export");
            }
            ExportVerdict::Later { words, .. } => {
                ("the collector does not take exports now; they are tried again", words)
            }
            ExportVerdict::Taken { rejected: 0, words } if words.is_empty() => return,
            _ if self.rarely.may_say(signal, Instant::now()).is_none() => return,
            ExportVerdict::Taken { rejected: 0, words } => ("the collector warns", words),
            ExportVerdict::Taken { words, .. } => {
                ("the collector took an export only in part", words)
            }
            ExportVerdict::Refused(words) => {
                ("the collector refused an export, which is not sent again", words)
            }
        };
        tracing::warn!(signal = name, endpoint, words, "{message}");
    }

    async fn ask(&self, terms: &ExportTerms, path: &'static str, body: Vec<u8>) -> ExportVerdict {
        let body = if terms.gzip { gzip(&body) } else { body };
        let asked = ExportRequest { terms, path };
        let to = Destination::new(&terms.server, &terms.reach);
        let mut upload = Upload::new(Bytes::from(body).into(), 0, 0, &None);
        let timeouts = Timeouts::all(terms.timeout);
        let http2 = Http2Settings::once(terms.timeout);
        let now = Instant::now();
        let begun = (now, self.clock.at(now));
        let how = Terms { timeouts: &timeouts, head: HEAD, http2: &http2, begun };
        let mut reply = match fetch(&self.pool, &to, &asked, &mut upload, &how).await.reply {
            Ok(reply) => reply,
            Err(failed) => {
                return later(match failed.failure {
                    // These are named after a route's timeouts, which mean nothing here.
                    Failure::ConnectTimeout | Failure::SendTimeout | Failure::ResponseTimeout => {
                        no_answer(terms.timeout)
                    }
                    failure => failure.to_string(),
                });
            }
        };
        let (status, head) = (reply.status, reply.fields.map().clone());
        let home =
            Home { pool: Arc::clone(&self.pool), limits: KEPT, lease: None, clock: self.clock };
        let taker = Taker { personal: false, now: self.clock.now(), ..Taker::whole(terms.timeout) };
        match read(reply.into_body(upload, home, taker)).await {
            Ok(body) => judge(status, &head, &body, SystemTime::now()),
            Err(words) => later(words),
        }
    }
}

fn later(words: String) -> ExportVerdict {
    ExportVerdict::Later { words, after: None }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {within:?}")
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // A vector takes everything.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The beginning of an answer's body. The rest is read, so that the connection can be kept.
async fn read(mut body: Body) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(part) = poll_fn(|cx| body.poll_part(cx, Want::ALL)).await {
        let Part::Frame(frame) = part.map_err(|error| error.to_string())? else { continue };
        let Ok(data) = frame.into_data() else { continue };
        let room = LONGEST_ANSWER - text.len();
        if data.len() > room {
            return Err("its answer is too long".into());
        }
        text.extend_from_slice(&data);
    }
    Ok(text)
}
