//! Counters of the config's own: `[metrics.custom.NAME]`.
//!
//! Owns: their series, which are bounded, and go on counting over reloads. May touch:
//! [`crate::condition`], [`crate::message`], [`crate::template`]. Asked by [`crate::proxy::record`]
//! when a request ends.

use super::line_facts::LineFacts;
use crate::{
    condition::{Amount, Condition, Observed},
    message::context::Scope,
    template::Template,
};
use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, LabelPair, Metric, MetricFamily, MetricType},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Between the labels' values in a key; no value has it.
const BETWEEN: char = '\0';
/// The value of every label of what is counted beyond the limit.
const OTHER: &str = "other";
/// Longer values are cut, so that clients can't fill the memory.
const LONGEST: usize = 128;

thread_local! {
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// One counter, compiled.
pub struct CustomCounter {
    /// The requests that count.
    pub when: Option<Condition>,
    /// What of a request is added; `None`: 1.
    pub add: Option<Amount>,
    /// The values of the labels, in the order of their names.
    pub labels: Box<[Template]>,
    /// What it has counted.
    pub series: Arc<CustomSeries>,
}

impl CustomCounter {
    /// Counts a request that has ended, if it is one of those that count.
    pub fn count(&self, request: &LineFacts<'_>) {
        if self.when.as_ref().is_some_and(|it| !it.holds(request)) {
            return;
        }
        let value = self.add.map_or(1, |it| request.amount(it));
        KEY.with_borrow_mut(|key| {
            write_key(key, &self.labels, &request.scope());
            self.series.add(key, value);
        });
    }
}

fn write_key(key: &mut String, labels: &[Template], scope: &Scope<'_>) {
    key.clear();
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            key.push(BETWEEN);
        }
        let start = key.len();
        label.parts().iter().for_each(|part| scope.render_part(part, key));
        let mut end = key.len().min(start + LONGEST);
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        key.truncate(end);
        if key[start..].contains(BETWEEN) {
            let value = key[start..].replace(BETWEEN, "");
            key.truncate(start);
            key.push_str(&value);
        }
    }
}

/// The series of one counter.
pub struct CustomSeries {
    names: Vec<String>,
    most: AtomicUsize,
    /// By the values of the labels.
    counts: RwLock<HashMap<Box<str>, AtomicU64>>,
    other: String,
}

impl CustomSeries {
    fn new(names: &[String]) -> Self {
        let other = vec![OTHER; names.len()].join(&String::from(BETWEEN));
        let mut counts = HashMap::new();
        if names.is_empty() {
            // There is only this series, and it begins at 0.
            counts.insert("".into(), AtomicU64::new(0));
        }
        Self { names: names.to_vec(), most: 0.into(), counts: counts.into(), other }
    }

    fn add(&self, key: &str, value: u64) {
        let is_full = {
            let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
            let is_full = counts.len() >= self.most.load(Relaxed);
            let known = counts.get(key);
            let other = || counts.get(self.other.as_str()).filter(|_| is_full);
            if let Some(count) = known.or_else(other) {
                count.fetch_add(value, Relaxed);
                return;
            }
            is_full
        };
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        // Others may have taken the last place meanwhile.
        let is_full = is_full || counts.len() >= self.most.load(Relaxed);
        let key = if is_full { &self.other } else { key };
        counts.entry(key.into()).or_default().fetch_add(value, Relaxed);
    }

    fn collect(&self) -> Vec<Metric> {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        let series = counts.iter().map(|(key, count)| {
            let values = key.split(BETWEEN);
            let mut metric = Metric::from_label(self.names.iter().zip(values).map(label).collect());
            let mut counter = Counter::default();
            counter.set_value(count.load(Relaxed) as f64);
            metric.set_counter(counter);
            metric
        });
        series.collect()
    }
}

fn label((name, value): (&String, &str)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.clone());
    label.set_value(value.to_owned());
    label
}

/// All counters of this kind, for `/metrics`.
#[derive(Clone, Default)]
pub struct CustomFamilies(Arc<Mutex<Vec<CustomFamily>>>);

struct CustomFamily {
    metric: String,
    help: String,
    series: Arc<CustomSeries>,
}

impl CustomFamilies {
    /// The series of this metric. If the previous config has it with the same labels, it goes on
    /// counting.
    pub fn series(
        &self,
        metric: &str,
        help: &str,
        labels: &[String],
        most: usize,
    ) -> Arc<CustomSeries> {
        let mut families = self.lock();
        let known = families.iter().position(|it| it.metric == metric && it.series.names == labels);
        let at = known.unwrap_or_else(|| {
            let series = Arc::new(CustomSeries::new(labels));
            families.push(CustomFamily { metric: metric.to_owned(), help: String::new(), series });
            families.len() - 1
        });
        help.clone_into(&mut families[at].help);
        families[at].series.most.store(most, Relaxed);
        Arc::clone(&families[at].series)
    }

    /// Takes out what no counter in `kept` counts.
    pub fn retain(&self, kept: &[CustomCounter]) {
        self.lock().retain(|family| kept.iter().any(|it| Arc::ptr_eq(&it.series, &family.series)));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<CustomFamily>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for CustomFamilies {
    /// They come with the config.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let family = |it: &CustomFamily| {
            let mut family = MetricFamily::default();
            family.set_name(it.metric.clone());
            family.set_help(it.help.clone());
            family.set_field_type(MetricType::COUNTER);
            family.set_metric(it.series.collect());
            family
        };
        self.lock().iter().map(family).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::context::tests::context;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_cut_and_has_no_separator() {
        let mut context = context();
        let long = "é".repeat(100);
        context.head.fields.map().insert("x-long", long.parse().unwrap());
        let scope =
            Scope { context: &context, route: "a\0b", upstream: "", server: "", path: None };
        let labels = ["{route}", "{header.x-long}", ""].map(|it| Template::parse(it).unwrap());
        let mut key = String::new();
        write_key(&mut key, &labels, &scope);
        assert_eq!(key, format!("ab\0{}\0", "é".repeat(64)));
    }

    proptest! {
        /// The model: whoever comes first has a series.
        #[test]
        fn series_are_bounded_and_nothing_is_left_out(
            most in 1..6usize,
            counted in prop::collection::vec((0..9u8, 1..5u64), 0..60),
        ) {
            let families = CustomFamilies::default();
            let series = families.series("custom_x_total", "", &["a".into(), "b".into()], most);
            let mut model: Vec<(String, u64)> = Vec::new();
            for (number, value) in counted {
                let key = format!("v{number}\0w");
                series.add(&key, value);
                let known = model.iter().any(|(other, _)| *other == key);
                let limit = most + usize::from(model.iter().any(|it| it.0 == "other\0other"));
                let key = if known || model.len() < limit && model.len() < most { key } else { "other\0other".into() };
                match model.iter_mut().find(|(other, _)| *other == key) {
                    Some((_, sum)) => *sum += value,
                    None => model.push((key, value)),
                }
            }
            let counts = series.counts.read().unwrap();
            let mut found: Vec<_> = counts.iter().map(|(key, it)| (key.to_string(), it.load(Relaxed))).collect();
            found.sort();
            model.sort();
            prop_assert!(found.len() <= most + 1);
            prop_assert_eq!(found, model);
        }
    }

    #[test]
    fn a_metric_goes_on_counting_until_it_is_taken_out_or_has_other_labels() {
        let families = CustomFamilies::default();
        let labels = ["a".to_owned()];
        let first = families.series("custom_x_total", "one", &labels, 5);
        first.add("v", 2);
        let again = families.series("custom_x_total", "two", &labels, 9);
        again.add("v", 1);
        let told = |families: &CustomFamilies| {
            let families = families.collect();
            families
                .iter()
                .map(|it| (it.help().to_owned(), it.get_metric().len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&families), [("two".to_owned(), 1)]);
        assert!((again.collect()[0].get_counter().get_value() - 3.0).abs() < f64::EPSILON);
        let other = families.series("custom_x_total", "three", &[], 5);
        let counter =
            CustomCounter { when: None, add: None, labels: Box::default(), series: other };
        families.retain(&[counter]);
        assert_eq!(told(&families), [("three".to_owned(), 1)]);
    }
}
