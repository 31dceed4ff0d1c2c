//! `http_request_duration_seconds` by method, route and status, without a look-up per request.
//!
//! Owns: every route's histograms. They are made when first needed and then found by index. May
//! touch: nothing outside this room. The histograms are our own. One of the library's has six
//! pieces of memory, which are not in the processor's cache if there are many routes, and it needs
//! twice as many atomic operations. [`super::metrics`] registers the [`Family`].

use super::{
    durations::{BucketCounts, Durations},
    maker::{family, label},
};
use http::{Method, StatusCode};
use prometheus::{
    core::{Collector, Desc},
    proto::{Metric, MetricFamily, MetricType},
};
use std::{
    collections::{HashMap, HashSet},
    iter::zip,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

const NAME: &str = "http_request_duration_seconds";
const HELP: &str = "Time from a request's head to the end of its response.";
const LABELS: [&str; 3] = ["method", "route", "status_code"];

/// Label values of `method`; a method that is not in the list is counted as the last.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "OTHER"];

/// A hundred statuses of one class and method.
type Hundred = Box<[OnceLock<Box<Durations>>]>;

/// One route's histograms.
#[derive(Default)]
pub struct RouteMetrics {
    /// The first histogram that was needed. Many routes need no other, and so have no table.
    first: OnceLock<(usize, Box<Durations>)>,
    cells: OnceLock<Box<[OnceLock<Hundred>]>>,
}

impl RouteMetrics {
    /// BucketCounts one request.
    pub fn observe(&self, method: &Method, status: StatusCode, took: Duration) {
        let (method, status) = (method_index(method), usize::from(status.as_u16().min(599)));
        let key = method * 1000 + status;
        let (first, of_first) = self.first.get_or_init(|| (key, Box::default()));
        if *first == key {
            return of_first.observe(took);
        }
        let cells = self.cells.get_or_init(|| empty(METHODS.len() * 5));
        let hundred = cells[method * 5 + status / 100 - 1].get_or_init(|| empty(100));
        hundred[status % 100].get_or_init(Box::default).observe(took);
    }

    /// Adds all requests to `counts`. Returns how many of them had a status of 500 or above.
    pub(super) fn add_to(&self, counts: &mut BucketCounts) -> u64 {
        let mut errors = 0;
        for (_, status, durations) in self.all() {
            let before = if status < 500 { 0 } else { counts.iter().sum::<u64>() };
            durations.add_to(counts);
            if status >= 500 {
                errors += counts.iter().sum::<u64>() - before;
            }
        }
        errors
    }

    /// A number that changes with every request.
    pub(super) fn mark(&self) -> u64 {
        self.all().iter().fold(0, |sum, (_, _, it)| sum.wrapping_add(it.sum()))
    }

    /// Method, status and histogram, for all histograms that were needed.
    fn all(&self) -> Vec<(usize, usize, &Durations)> {
        let first = self.first.get().map(|(key, it)| (key / 1000, key % 1000, &**it));
        let mut all = Vec::from_iter(first);
        for (at, hundred) in self.cells.get().into_iter().flatten().enumerate() {
            for (unit, cell) in hundred.get().into_iter().flatten().enumerate() {
                all.extend(cell.get().map(|it| (at / 5, (at % 5 + 1) * 100 + unit, &**it)));
            }
        }
        all
    }
}

/// Every route's histograms.
#[derive(Clone)]
pub struct Family(Arc<Routes>);

struct Routes {
    desc: Desc,
    by_name: Mutex<HashMap<Arc<str>, Arc<RouteMetrics>>>,
}

impl Family {
    /// Starts without routes.
    pub(super) fn new() -> prometheus::Result<Self> {
        let labels = LABELS.map(str::to_owned).to_vec();
        let desc = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())?;
        Ok(Self(Arc::new(Routes { desc, by_name: Mutex::default() })))
    }

    /// The histograms of the route with this name. An existing one continues to count.
    pub(super) fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        Arc::clone(self.lock().entry(Arc::clone(name)).or_default())
    }

    /// Shows all routes.
    pub(super) fn each(&self, see: impl FnMut((&Arc<str>, &Arc<RouteMetrics>))) {
        self.lock().iter().for_each(see);
    }

    /// Takes out the routes that are not among `names`.
    pub(super) fn retain(&self, names: &HashSet<&str>) {
        self.lock().retain(|name, _| names.contains(&**name));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<RouteMetrics>>> {
        self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Family {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metrics = Vec::new();
        for (name, route) in &*self.lock() {
            metrics.extend(route.all().into_iter().map(|(method, status, durations)| {
                let values = [METHODS[method].to_owned(), name.to_string(), status.to_string()];
                let mut metric = Metric::from_label(zip(LABELS, values).map(label).collect());
                metric.set_histogram(durations.collect());
                metric
            }));
        }
        vec![family(NAME, HELP, MetricType::HISTOGRAM, metrics)]
    }
}

fn empty<T>(length: usize) -> Box<[OnceLock<T>]> {
    (0..length).map(|_| OnceLock::new()).collect()
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::PATCH => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::CONNECT => 8,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::durations::SHOWN, *};
    use prometheus::{Encoder, HistogramOpts, HistogramVec, Registry, TextEncoder};

    fn text(registry: &Registry) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The model are the library's own histograms; the text must be the same.
    #[test]
    fn it_reads_as_the_librarys_own() {
        let (ours, theirs) = (Registry::new(), Registry::new());
        let family = Family::new().unwrap();
        ours.register(Box::new(family.clone())).unwrap();
        let bounds = SHOWN.map(|micros| micros as f64 / 1e6).to_vec();
        let model = HistogramOpts::new(NAME, HELP).buckets(bounds);
        let model = HistogramVec::new(model, &LABELS).unwrap();
        theirs.register(Box::new(model.clone())).unwrap();
        for (at, route) in
            ["a", "b \"quoted\"", "a", "", "a"].into_iter().cycle().take(90).enumerate()
        {
            let method = [Method::GET, Method::POST, "PURGE".parse().unwrap()][at % 3].clone();
            let status = [200, 204, 404, 599, 999][at % 5];
            // From one bound to the next, and past the last one.
            let took = Duration::from_micros(SHOWN.get(at % 15).copied().unwrap_or(40_000_000))
                + Duration::from_nanos(at as u64 % 2);
            let code = StatusCode::from_u16(status).unwrap();
            family.route(&route.into()).observe(&method, code, took);
            let labels = [METHODS[method_index(&method)], route, &status.min(599).to_string()];
            model.with_label_values(&labels).observe(took.as_secs_f64());
        }
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            // Sums of fractions differ in the last digits.
            (name.to_owned(), value.parse::<f64>().map_or(0, |value| (value * 1e6).round() as u64))
        };
        let (ours, theirs) = (text(&ours), text(&theirs));
        assert_eq!(
            ours.lines().map(number).collect::<Vec<_>>(),
            theirs.lines().map(number).collect::<Vec<_>>()
        );
        assert!(ours.lines().count() > 100);
    }

    #[test]
    fn a_route_goes_on_counting_until_it_is_taken_out() {
        let family = Family::new().unwrap();
        let registry = Registry::new();
        registry.register(Box::new(family.clone())).unwrap();
        for _ in 0..2 {
            family.route(&"r".into()).observe(&Method::GET, StatusCode::OK, Duration::ZERO);
        }
        assert!(
            text(&registry).contains("_count{method=\"GET\",route=\"r\",status_code=\"200\"} 2")
        );
        family.retain(&HashSet::from(["other"]));
        assert_eq!(text(&registry), "");
    }
}
