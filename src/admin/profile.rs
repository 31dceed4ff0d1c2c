//! `/profile`: where the processor time goes.
//!
//! Owns: how long it is looked at, and by whom: one at a time. May touch: nothing outside this
//! room. The sampler unwinds stacks in a signal's handler, which can crash the process, so it is in
//! a build only if the feature `profile` is on.

use super::{
    answer::{AdminAnswer, refusal},
    ask::Ask,
};
use futures_util::future::BoxFuture;
use http::StatusCode;
#[cfg(not(feature = "profile"))]
use std::future::ready;

#[cfg(not(feature = "profile"))]
const HOW: &str = "this build has no profiler. `perf` needs none: \
                   perf record -F 99 -g --call-graph dwarf -p $(pidof sheave) -- sleep 10; perf script. \
                   Or build with `cargo build --release --features profile`: see docs/observing.md";

/// Without the feature: what to do instead.
#[cfg(not(feature = "profile"))]
pub(super) fn profile(_: &Ask) -> BoxFuture<'_, AdminAnswer> {
    Box::pin(ready(refusal(StatusCode::NOT_IMPLEMENTED, HOW)))
}

#[cfg(feature = "profile")]
pub(super) use sampling::profile;

#[cfg(feature = "profile")]
mod sampling {
    use super::{AdminAnswer, Ask, BoxFuture, StatusCode, refusal};
    use crate::admin::answer::whole;
    use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};
    use pprof::{ProfilerGuardBuilder, Report, protos::Message};
    use std::{
        fmt::Display,
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        thread,
        time::Duration,
    };
    use tokio::sync::oneshot;

    /// The longest profile.
    const LONGEST: u64 = 60;
    /// Samples in a second of processor time: not a round number, so that they do not fall together
    /// with what is done a hundred times a second.
    const RATE: i32 = 99;
    /// The flame graph is searched and zoomed by its own script, in an origin of its own: it can ask
    /// this address for nothing.
    const GRAPH_POLICY: &str = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; \
                                script-src 'unsafe-inline'; frame-ancestors 'none'";
    /// To unwind these can wait for a lock that the interrupted thread holds.
    const LEFT_OUT: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

    /// A profile is being taken. The thread that does it owns this, so that it ends with it, however
    /// that ends.
    struct ProfileTurn;

    static TAKEN: AtomicBool = AtomicBool::new(false);

    impl ProfileTurn {
        fn take() -> Option<Self> {
            (!TAKEN.swap(true, SeqCst)).then_some(Self)
        }
    }

    impl Drop for ProfileTurn {
        fn drop(&mut self) {
            TAKEN.store(false, SeqCst);
        }
    }

    /// The form of a profile.
    #[derive(Clone, Copy)]
    enum ProfileForm {
        FlameGraph,
        Pprof,
    }

    /// Looks for so many seconds, and answers with the profile.
    pub(in crate::admin) fn profile(ask: &Ask) -> BoxFuture<'_, AdminAnswer> {
        Box::pin(answer(ask))
    }

    async fn answer(ask: &Ask) -> AdminAnswer {
        let (seconds, form) = match wanted(ask.query().unwrap_or_default()) {
            Ok(wanted) => wanted,
            Err(error) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, &error),
        };
        let Some(turn) = ProfileTurn::take() else {
            return refusal(StatusCode::CONFLICT, "another profile is being taken");
        };
        let (tell, told) = oneshot::channel();
        // Reading the symbols takes seconds, which the control thread has not got.
        let begun = thread::Builder::new().name("profile".into()).spawn(move || {
            let taken = take(Duration::from_secs(seconds), form);
            drop(turn);
            // Who asked may be gone.
            let _ = tell.send(taken);
        });
        if let Err(error) = begun {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, &said(error));
        }
        let taken = told.await.unwrap_or_else(|_| Err("the profile's thread has ended".into()));
        match (taken, form) {
            (Ok(graph), ProfileForm::FlameGraph) => {
                let mut answer = whole(StatusCode::OK, "image/svg+xml", graph);
                let policy = HeaderValue::from_static(GRAPH_POLICY);
                answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
                answer
            }
            (Ok(profile), ProfileForm::Pprof) => {
                whole(StatusCode::OK, "application/octet-stream", profile)
            }
            (Err(error), _) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }

    fn wanted(query: &str) -> Result<(u64, ProfileForm), String> {
        let (mut seconds, mut form) = (10, ProfileForm::FlameGraph);
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            match pair.split_once('=') {
                Some(("seconds", told)) => {
                    let number = told.parse().ok().filter(|it| (1..=LONGEST).contains(it));
                    seconds = number.ok_or_else(|| format!("`seconds` is 1 to {LONGEST}"))?;
                }
                Some(("format", "svg")) => form = ProfileForm::FlameGraph,
                Some(("format", "pprof")) => form = ProfileForm::Pprof,
                Some(("format", _)) => return Err("`format` is `svg` or `pprof`".into()),
                _ => return Err(format!("`{pair}` is not known: write ?seconds=10&format=svg")),
            }
        }
        Ok((seconds, form))
    }

    fn take(time: Duration, form: ProfileForm) -> Result<Vec<u8>, String> {
        let sampler = ProfilerGuardBuilder::default().frequency(RATE).blocklist(&LEFT_OUT);
        let sampler = sampler.build().map_err(said)?;
        thread::sleep(time);
        let report = sampler.report().build().map_err(said)?;
        drop(sampler);
        written(&report, form)
    }

    fn written(report: &Report, form: ProfileForm) -> Result<Vec<u8>, String> {
        let mut profile = Vec::new();
        match form {
            ProfileForm::FlameGraph if report.data.is_empty() => {
                return Err("the process was idle: there is nothing to draw".into());
            }
            ProfileForm::FlameGraph => report.flamegraph(&mut profile).map_err(said)?,
            ProfileForm::Pprof => profile = report.pprof().map_err(said)?.encode_to_vec(),
        }
        Ok(profile)
    }

    fn said(error: impl Display) -> String {
        format!("no profile could be taken: {error}")
    }
}
