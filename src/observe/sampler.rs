//! Once a second: what has happened since the last time.
//!
//! Owns: the windows of everything that `/stats` tells. May touch: nothing outside this room. Runs
//! on the control thread. Those that are idle cost a comparison; what 1,000 busy routes and servers
//! cost is in `docs/decisions/histograms.md`.

use super::{
    metrics::Metrics,
    process::cpu_seconds,
    request_metrics::RouteMetrics,
    tally::{Summary, WindowTally},
    upstream_metrics::ServerMetrics,
    windows::{CountSeries, Series, StatsWindow, Steps},
    worker_metrics::WorkerMetrics,
};
use prometheus::{IntCounterVec, core::Collector, proto::MetricFamily};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// A worker's timer fires every so many milliseconds. Each time it wakes a worker that has nothing
/// to do.
pub const BEAT: u64 = 250;

/// For so many seconds the longest lag of a worker is remembered.
const LAGS: usize = 60;

/// Of so many seconds is the processor time that is told.
const CPU_SECONDS: usize = 10;

/// The windows of everything.
#[derive(Default)]
pub struct StatsSampler {
    steps: Steps,
    total: Series,
    routes: HashMap<Arc<str>, FollowedCounts<RouteMetrics>>,
    servers: HashMap<Arc<[String; 2]>, FollowedCounts<ServerMetrics>>,
    reasons: BTreeMap<String, CountSeries>,
    workers: Vec<WorkerSeries>,
    cpu: CpuSeries,
}

/// Processor time of the last seconds.
#[derive(Default)]
struct CpuSeries {
    seconds: VecDeque<(f64, Duration)>,
    last: Option<f64>,
}

impl CpuSeries {
    fn sample(&mut self, now: f64, elapsed: Duration) {
        // What was used before the first sample has no time.
        let Some(before) = self.last.replace(now) else { return };
        if self.seconds.len() == CPU_SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back((now - before, elapsed));
    }

    /// How many cores were busy.
    fn cores(&self) -> f64 {
        let used: f64 = self.seconds.iter().map(|it| it.0).sum();
        let over: Duration = self.seconds.iter().map(|it| it.1).sum();
        if over.is_zero() { 0.0 } else { (used / over.as_secs_f64()).max(0.0) }
    }
}

/// A source of counts and its windows.
struct FollowedCounts<T> {
    source: Arc<T>,
    /// A number that changes with every count.
    mark: u64,
    series: Series,
}

impl<T> FollowedCounts<T> {
    fn new(source: &Arc<T>) -> Self {
        Self { source: Arc::clone(source), mark: 0, series: Series::default() }
    }

    /// Counts what is new. A source that was taken out and has come back begins at 0.
    fn sample(
        &mut self,
        source: &Arc<T>,
        mark: u64,
        tally: impl FnOnce() -> WindowTally,
        complete: bool,
    ) -> Option<WindowTally> {
        if !Arc::ptr_eq(&self.source, source) {
            self.source = Arc::clone(source);
            self.series.restart();
            self.mark = 0;
        }
        if self.mark == mark {
            self.series.pass(complete);
            return None;
        }
        self.mark = mark;
        Some(self.series.sample(&tally(), complete))
    }
}

/// What is followed of a worker.
#[derive(Default)]
struct WorkerSeries {
    lag: Series,
    /// The longest lag of each second.
    lags: VecDeque<Duration>,
    overdue: Duration,
    busy: Duration,
    /// The part of the last second.
    ratio: f64,
}

impl WorkerSeries {
    /// The time `now` is of the process's clock.
    fn sample(&mut self, worker: &WorkerMetrics, elapsed: Duration, now: u64, complete: bool) {
        let mut tally = WindowTally::default();
        worker.lag.add_to(&mut tally.times);
        tally.requests = tally.times.iter().sum();
        self.lag.sample(&tally, complete);
        if self.lags.len() == LAGS {
            self.lags.pop_front();
        }
        self.overdue = overdue(worker.beat(), now);
        self.lags.push_back(worker.take_lag_max().max(self.overdue));
        let busy = worker.busy();
        let added = busy.saturating_sub(std::mem::replace(&mut self.busy, busy));
        self.ratio = (added.as_secs_f64() / elapsed.as_secs_f64().max(0.001)).clamp(0.0, 1.0);
    }
}

/// How late a timer is that last fired at `beat` and has not fired since.
fn overdue(beat: u64, now: u64) -> Duration {
    if beat == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(now.saturating_sub(beat).saturating_sub(BEAT))
}

/// How a worker is; the default is one that no sample has been taken of.
#[derive(Default)]
pub struct WorkerHealth {
    /// The part of the last second in which it was busy, 0 to 1.
    pub busy: f64,
    /// How late 99 of 100 of its timers were at most, in milliseconds, in the last minute.
    pub lag_p99: Option<f64>,
    /// How many timers these are.
    pub timers: u64,
    /// How late the latest of them was, even if it still has not fired.
    pub lag_max: Duration,
    /// How late a timer is that has not fired.
    pub overdue: Duration,
}

impl StatsSampler {
    /// Looks at all counts, so long after the last time, at `now` on the process's clock.
    pub fn sample(&mut self, metrics: &Metrics, elapsed: Duration, now: u64) {
        let complete = self.steps.advance(elapsed);
        let total = self.sample_routes(metrics, complete);
        self.total.note(&total, complete);
        self.sample_servers(metrics, complete);
        for (reason, count) in by_reason(&metrics.failures) {
            self.reasons.entry(reason).or_default().sample(count, complete);
        }
        self.cpu.sample(cpu_seconds(), elapsed);
        let workers = metrics.workers();
        self.workers.resize_with(workers.len(), WorkerSeries::default);
        for (series, worker) in self.workers.iter_mut().zip(&workers) {
            series.sample(worker, elapsed, now, complete);
        }
    }

    fn sample_routes(&mut self, metrics: &Metrics, complete: bool) -> WindowTally {
        let mut total = WindowTally::default();
        let mut known = std::mem::take(&mut self.routes);
        metrics.each_route(|name, route| {
            let before = known.remove_entry(name);
            let mark = route.mark();
            if mark == 0 && before.is_none() {
                return;
            }
            let (name, mut followed) =
                before.unwrap_or_else(|| (Arc::clone(name), FollowedCounts::new(route)));
            let tally = || {
                let mut tally = WindowTally::default();
                tally.errors = route.add_to(&mut tally.times);
                tally.requests = tally.times.iter().sum();
                tally
            };
            if let Some(added) = followed.sample(route, mark, tally, complete) {
                total.add(&added);
            }
            self.routes.insert(name, followed);
        });
        total
    }

    fn sample_servers(&mut self, metrics: &Metrics, complete: bool) {
        let mut known = std::mem::take(&mut self.servers);
        metrics.each_server(|name, server| {
            let before = known.remove_entry(name);
            let (requests, errors) = server.attempts();
            let mark = server.heads.sum().wrapping_add(requests);
            if mark == 0 && before.is_none() {
                return;
            }
            let (name, mut followed) =
                before.unwrap_or_else(|| (Arc::new(name.clone()), FollowedCounts::new(server)));
            let tally = || {
                let mut tally = WindowTally { requests, errors, ..WindowTally::default() };
                server.heads.add_to(&mut tally.times);
                tally
            };
            followed.sample(server, mark, tally, complete);
            self.servers.insert(name, followed);
        });
    }

    /// All requests.
    pub fn total(&self, window: StatsWindow) -> Summary {
        self.total.summary(window, &self.steps)
    }

    /// The requests of a route.
    pub fn route(&self, name: &str, window: StatsWindow) -> Summary {
        self.summary(self.routes.get(name).map(|it| &it.series), window)
    }

    /// The attempts at a server of an upstream.
    pub fn server(&self, upstream: &str, server: &str, window: StatsWindow) -> Summary {
        let key = [upstream.to_owned(), server.to_owned()];
        self.summary(self.servers.get(&key).map(|it| &it.series), window)
    }

    fn summary(&self, series: Option<&Series>, window: StatsWindow) -> Summary {
        let nothing = || Summary { tally: WindowTally::default(), over: self.steps.length(window) };
        series.map_or_else(nothing, |it| it.summary(window, &self.steps))
    }

    /// How many requests had each reason, in a window of a minute or more.
    pub fn reasons(&self, window: StatsWindow) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.reasons.iter().map(move |it| (it.0.as_str(), it.1.within(window)));
        counts.filter(|it| it.1 > 0)
    }

    /// How each worker is.
    pub fn workers(&self) -> impl Iterator<Item = WorkerHealth> {
        let lags = |it: &WorkerSeries| it.lag.summary(StatsWindow::Minute, &self.steps);
        self.workers.iter().map(move |it| (it, lags(it))).map(|(it, lags)| WorkerHealth {
            busy: it.ratio,
            lag_p99: lags.quantile(0.99),
            timers: lags.tally.requests,
            lag_max: it.lags.iter().max().copied().unwrap_or_default(),
            overdue: it.overdue,
        })
    }

    /// How many cores the process has used in the last ten seconds, or since it began.
    pub fn cores(&self) -> f64 {
        self.cpu.cores()
    }

    /// Whether that is of ten seconds.
    pub fn knows_cores(&self) -> bool {
        self.cpu.seconds.len() == CPU_SECONDS
    }

    /// How long a window is that is told now.
    pub fn length(&self, window: StatsWindow) -> Duration {
        self.steps.length(window)
    }
}

/// How many requests each reason had.
fn by_reason(failures: &IntCounterVec) -> Vec<(String, u64)> {
    let families = failures.collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let told = metrics.filter_map(|it| Some((it.get_label().first()?, it.get_counter())));
    told.map(|(label, count)| (label.value().to_owned(), count.get_value() as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::outcome::AttemptOutcome, *};
    use http::{Method, StatusCode};
    use std::collections::HashSet;

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(metrics: &Metrics, route: &str, status: StatusCode, millis: u64) {
        let route = metrics.route(&route.into());
        route.observe(&Method::GET, status, Duration::from_millis(millis));
    }

    #[test]
    fn routes_have_their_own_windows_and_the_total_has_all() {
        let (metrics, mut sampler) = (Metrics::new(), StatsSampler::default());
        ask(&metrics, "a", StatusCode::OK, 1);
        ask(&metrics, "a", StatusCode::BAD_GATEWAY, 1);
        ask(&metrics, "b", StatusCode::NOT_FOUND, 100);
        sampler.sample(&metrics, SECOND, 0);
        let second = |sampler: &StatsSampler, name: &str| {
            let tally = sampler.route(name, StatsWindow::Second).tally;
            (tally.requests, tally.errors)
        };
        assert_eq!(second(&sampler, "a"), (2, 1));
        assert_eq!(second(&sampler, "b"), (1, 0));
        assert_eq!(second(&sampler, "unknown"), (0, 0));
        assert_eq!(sampler.total(StatsWindow::Second).tally.requests, 3);
        assert!((sampler.total(StatsWindow::Second).rate() - 3.0).abs() < 0.01);
        let p99 = sampler.total(StatsWindow::Minute).quantile(0.99).unwrap();
        assert!((80.0..=100.0).contains(&p99), "{p99}");
        sampler.sample(&metrics, SECOND, 1000);
        assert_eq!(second(&sampler, "a"), (0, 0));
        assert_eq!(sampler.route("a", StatsWindow::Minute).tally.requests, 2);
    }

    #[test]
    fn a_route_that_a_reload_takes_out_and_brings_back_is_counted_from_0() {
        let (metrics, mut sampler) = (Metrics::new(), StatsSampler::default());
        for _ in 0..50 {
            ask(&metrics, "a", StatusCode::OK, 1);
        }
        sampler.sample(&metrics, SECOND, 0);
        metrics.retain_routes(HashSet::from(["b"]).into_iter());
        ask(&metrics, "a", StatusCode::OK, 1);
        sampler.sample(&metrics, SECOND, 0);
        assert_eq!(sampler.route("a", StatsWindow::Second).tally.requests, 1);
        assert_eq!(sampler.total(StatsWindow::Minute).tally.requests, 51);
        metrics.retain_routes(HashSet::from(["b"]).into_iter());
        sampler.sample(&metrics, SECOND, 0);
        assert_eq!(sampler.route("a", StatsWindow::Minute).tally.requests, 0);
    }

    #[test]
    fn attempts_that_failed_are_told_of_their_server_even_if_metrics_are_read_between() {
        let (metrics, mut sampler) = (Metrics::new(), StatsSampler::default());
        let upstream = metrics.upstream("app", &["a:1", "b:1"]);
        upstream.answered(0, Duration::from_millis(2));
        upstream.attempt(0, AttemptOutcome::Success);
        upstream.attempt(1, AttemptOutcome::ConnectFailed);
        upstream.attempt(1, AttemptOutcome::StaleConnection);
        metrics.gather();
        upstream.attempt(1, AttemptOutcome::Reset);
        sampler.sample(&metrics, SECOND, 0);
        let told = |server| {
            let told = sampler.server("app", server, StatsWindow::FiveMinutes);
            (told.tally.requests, told.tally.errors, told.quantile(0.5).is_some())
        };
        assert_eq!(told("a:1"), (1, 0, true));
        // A kept connection that had been closed is an attempt, and no failure.
        assert_eq!(told("b:1"), (3, 2, false));
    }

    #[test]
    fn a_worker_that_does_nothing_for_its_timer_is_late_before_it_fires() {
        let (metrics, mut sampler) = (Metrics::new(), StatsSampler::default());
        let worker = metrics.worker(0);
        worker.note_lag(Duration::from_millis(1), 60_000);
        sampler.sample(&metrics, SECOND, 60_090);
        let lag = |sampler: &StatsSampler| sampler.workers().next().unwrap().lag_max.as_millis();
        assert_eq!(lag(&sampler), 1);
        sampler.sample(&metrics, SECOND, 65_000 + BEAT);
        assert_eq!(lag(&sampler), 5000);
        let told = sampler.workers().next().unwrap();
        assert!(told.busy == 0.0 && told.lag_p99.is_some_and(|ms| ms <= 1.0));
    }

    /// How long a sample takes; run it by name in a release build.
    #[test]
    #[ignore = "it measures"]
    #[allow(clippy::print_stdout)]
    fn a_thousand_routes_and_servers_are_cheap() {
        let (metrics, mut sampler) = (Metrics::new(), StatsSampler::default());
        let names: Vec<_> = (0..1000).map(|it| format!("{it}")).collect();
        let upstream = metrics.upstream("app", &names.iter().map(|it| &**it).collect::<Vec<_>>());
        let mut took = Duration::ZERO;
        for second in 0..300 {
            for (index, name) in names.iter().enumerate() {
                for at in 0..15 {
                    ask(&metrics, name, StatusCode::OK, 1 << at);
                    upstream.answered(index, Duration::from_millis(1 << at));
                }
            }
            let begun = std::time::Instant::now();
            sampler.sample(&metrics, SECOND, second * 1000);
            took += begun.elapsed();
        }
        assert_eq!(sampler.total(StatsWindow::FiveMinutes).tally.requests, 300 * 15_000);
        let resident = crate::observe::figures::Figures::read().resident >> 20;
        println!("{:?} a sample, {resident} MiB with the counts", took / 300);
    }
}
