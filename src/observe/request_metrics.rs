//! `http_request_duration_seconds` by method, route and status, without a look-up per request.
//!
//! Owns: one route's histograms, made when first needed, found by index ever after. May touch:
//! [`super::metrics`].

use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramVec};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Label values of `method`; whatever else a client invents is the last.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "OTHER"];

/// A hundred statuses of one class and method.
type Hundred = Box<[OnceLock<Histogram>]>;

/// One route's histograms.
pub struct RouteMetrics {
    name: Arc<str>,
    family: HistogramVec,
    /// The first that was needed, mostly the only one: most of many routes have no table.
    first: OnceLock<(usize, Histogram)>,
    cells: OnceLock<Box<[OnceLock<Hundred>]>>,
}

impl RouteMetrics {
    pub(super) fn new(name: Arc<str>, family: HistogramVec) -> Self {
        Self { name, family, first: OnceLock::new(), cells: OnceLock::new() }
    }

    /// Counts one request.
    pub fn observe(&self, method: &Method, status: StatusCode, took: Duration) {
        let (method, status) = (method_index(method), usize::from(status.as_u16().min(599)));
        let took = took.as_secs_f64();
        let key = method * 1000 + status;
        let histogram = || self.family.with_label_values(&labels(method, &self.name, status));
        let (first, of_first) = self.first.get_or_init(|| (key, histogram()));
        if *first == key {
            return of_first.observe(took);
        }
        let cells = self.cells.get_or_init(|| empty(METHODS.len() * 5));
        let hundred = cells[method * 5 + status / 100 - 1].get_or_init(|| empty(100));
        hundred[status % 100].get_or_init(histogram).observe(took);
    }

    /// Takes the route's series out of the family, when the config has it no more.
    pub fn remove(&self) {
        if let Some((key, _)) = self.first.get() {
            let _ = self.family.remove_label_values(&labels(key / 1000, &self.name, key % 1000));
        }
        let Some(cells) = self.cells.get() else { return };
        for (at, hundred) in cells.iter().enumerate() {
            for (unit, cell) in hundred.get().iter().flat_map(|it| it.iter().enumerate()) {
                if cell.get().is_some() {
                    let status = (at % 5 + 1) * 100 + unit;
                    let labels = labels(at / 5, &self.name, status);
                    // It may be gone already; that is what is wanted.
                    let _ = self.family.remove_label_values(&labels);
                }
            }
        }
    }
}

fn empty<T>(length: usize) -> Box<[OnceLock<T>]> {
    (0..length).map(|_| OnceLock::new()).collect()
}

fn labels(method: usize, route: &str, status: usize) -> [String; 3] {
    [METHODS[method].to_owned(), route.to_owned(), status.to_string()]
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
