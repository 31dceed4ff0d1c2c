//! What is shipped for those who run sheave: the dashboard, the alerts and the list of metrics are
//! made from, and checked against, what the code declares.
//!
//! `UPDATE=1 cargo test --test operations` writes the files that are made.

// A test has no public interface.
#![allow(unreachable_pub)]

mod panels;
mod promql;
mod rules;

use panels::Table;
use promql::Named;
use sheave::observe::{declared::Declared, metrics::Metrics};
use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

const PANELS: &str = "docker/grafana/panels.toml";
const ALERTS: &str = "docker/prometheus/alerts.yml";

/// What Prometheus adds to every series that it reads.
const ADDED: [&str; 2] = ["instance", "job"];

/// Metrics of Prometheus itself.
const PROMETHEUS: [(&str, &[&str]); 2] = [("ALERTS", &["alertname", "alertstate"]), ("up", &[])];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file that is made must be as it would be made now. With `UPDATE=1` it is written.
fn assert_made(path: &str, made: &str) {
    if env::var_os("UPDATE").is_some() {
        return fs::write(root().join(path), made).expect(path);
    }
    let is_made = fs::read_to_string(root().join(path)).is_ok_and(|there| there == made);
    assert!(is_made, "{path} is out of date: UPDATE=1 cargo test --test operations");
}

fn declared() -> Vec<Declared> {
    Metrics::new().declared().to_vec()
}

/// What may be named: series and their labels.
struct Known(BTreeMap<String, Vec<String>>);

impl Known {
    fn new() -> Self {
        let owned = |labels: &[&str]| labels.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let mut known = BTreeMap::new();
        for (name, labels) in PROMETHEUS {
            known.insert(name.to_owned(), [owned(labels), owned(&ADDED)].concat());
        }
        for Declared { name, kind, labels, .. } in declared() {
            let labels = [labels, owned(&ADDED)].concat();
            if kind == "histogram" {
                known.insert(format!("{name}_bucket"), [labels.clone(), owned(&["le"])].concat());
                known.insert(format!("{name}_sum"), labels.clone());
                known.insert(format!("{name}_count"), labels);
            } else {
                known.insert(name, labels);
            }
        }
        Self(known)
    }

    /// Also what is recorded by rules: it has the labels that it is grouped by.
    fn with_recorded(rules: &[rules::Rule]) -> Self {
        let mut known = Self::new();
        for rule in rules.iter().filter(|rule| rule.records) {
            known.0.insert(rule.name.clone(), promql::read(&rule.expression).groups);
        }
        known
    }

    /// What is wrong with an expression.
    fn mistakes(&self, place: &str, expression: &str, mistakes: &mut Vec<String>) {
        let Named { metrics, groups } = promql::read(expression);
        for (metric, labels) in &metrics {
            let Some(has) = self.0.get(metric) else {
                mistakes.push(format!("{place}: there is no metric `{metric}`"));
                continue;
            };
            for label in labels.iter().filter(|label| !has.contains(label)) {
                mistakes.push(format!("{place}: `{metric}` has no label `{label}`"));
            }
        }
        for label in groups {
            let has = |(metric, _): &(String, _)| {
                self.0.get(metric).is_some_and(|labels| labels.contains(&label))
            };
            if !metrics.iter().any(has) {
                mistakes.push(format!("{place}: no metric has the label `{label}`"));
            }
        }
        if metrics.is_empty() {
            mistakes.push(format!("{place}: no metric in `{expression}`"));
        }
    }
}

fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn the_dashboard_names_only_what_there_is() {
    let known = Known::new();
    let mut mistakes = Vec::new();
    for panel in Table::read(&text(PANELS)).panels() {
        for (legend, expression) in panel.shown() {
            let place = format!("{PANELS}: \"{}\"", panel.title);
            known.mistakes(&place, &expression, &mut mistakes);
            let groups = promql::read(&expression).groups;
            for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                if !groups.iter().any(|it| it == label) {
                    mistakes.push(format!("{place}: the expression does not keep `{label}`"));
                }
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn every_metric_is_in_a_panel_or_told_why_not() {
    let table = Table::read(&text(PANELS));
    let shown: Vec<_> = table
        .panels()
        .flat_map(|panel| panel.shown().collect::<Vec<_>>())
        .flat_map(|(_, expression)| promql::read(&expression).metrics)
        .map(|(metric, _)| metric)
        .collect();
    let declared = declared();
    let mut mistakes = Vec::new();
    for Declared { name, kind, .. } in &declared {
        let is_shown = shown.iter().any(|it| {
            let end = it.strip_prefix(name.as_str());
            end == Some("") || (*kind == "histogram" && end == Some("_bucket"))
        });
        if is_shown == table.not_shown.contains_key(name) {
            mistakes.push(if is_shown {
                format!("`{name}` is shown: take it out of `not_shown` in {PANELS}")
            } else {
                format!(
                    "`{name}` is in no panel: give it one in {PANELS}, or an entry in `not_shown`"
                )
            });
        }
    }
    for name in table.not_shown.keys().filter(|name| !declared.iter().any(|it| it.name == **name)) {
        mistakes
            .push(format!("there is no metric `{name}`: take it out of `not_shown` in {PANELS}"));
    }
    assert_none(&mistakes);
}

#[test]
fn the_dashboard_is_made_of_its_table() {
    let mut json =
        serde_json::to_string_pretty(&Table::read(&text(PANELS)).dashboard()).expect("JSON");
    json.push('\n');
    assert_made("docker/grafana/sheave.json", &json);
}

#[test]
fn the_alerts_name_only_what_there_is() {
    let rules = rules::read(&text(ALERTS));
    assert!(rules.len() >= 20, "{}", rules.len());
    let known = Known::with_recorded(&rules);
    let mut mistakes = Vec::new();
    for rule in &rules {
        known.mistakes(&format!("{ALERTS}: {}", rule.name), &rule.expression, &mut mistakes);
    }
    assert_none(&mistakes);
}

/// What autoscalers get; `namespace` and `pod` are added by Kubernetes.
#[test]
fn custom_metrics_of_kubernetes_are_there() {
    let path = "docker/kubernetes/custom-metrics.yaml";
    let mut known = Known::new();
    known.0.values_mut().for_each(|labels| labels.extend(["namespace", "pod"].map(str::to_owned)));
    let rules = rules::read(&text(path));
    assert!(rules.len() >= 2);
    let mut mistakes = Vec::new();
    for rule in &rules {
        known.mistakes(path, &rule.expression, &mut mistakes);
    }
    assert_none(&mistakes);
}

/// The alerts once more, as the Prometheus operator wants them.
#[test]
fn the_alerts_for_kubernetes_are_the_same() {
    let mut made = String::from(
        "# Made from docker/prometheus/alerts.yml: UPDATE=1 cargo test --test operations\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n\
         metadata:\n  name: sheave\n  labels: { app.kubernetes.io/name: sheave }\nspec:\n",
    );
    let alerts = text(ALERTS);
    let groups = &alerts[alerts.find("groups:").expect("the groups")..];
    for line in groups.lines() {
        let indent = if line.is_empty() { "" } else { "  " };
        writeln!(made, "{indent}{line}").expect("text");
    }
    assert_made("docker/kubernetes/monitoring/prometheusrule.yaml", &made);
}

/// `kubectl apply -k` takes files of its own directory only.
#[test]
fn the_config_for_kubernetes_is_the_recipe() {
    assert_made("docker/kubernetes/sheave.toml", &text("config/recipes/kubernetes.toml"));
}

#[test]
fn every_metric_is_in_the_docs() {
    let mut page = String::from(
        "# Every metric\n\n\
         Made from the code by `UPDATE=1 cargo test --test operations`. [Observing](observing.md) tells which \
         to start with, [Prometheus and Grafana](prometheus.md) which alerts and panels there are.\n\n\
         | metric | kind | labels | |\n|---|---|---|---|\n",
    );
    for Declared { name, kind, help, labels } in declared() {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).expect("text");
    }
    page.push_str("\nLabels come from the config only, so clients can't make new series.\n");
    assert_made("docs/metrics.md", &page);
}
