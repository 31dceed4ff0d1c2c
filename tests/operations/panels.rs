//! The table of the dashboard's panels, and the dashboard that is made of it.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `docker/grafana/panels.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Metrics that are in no panel, and why.
    pub not_shown: BTreeMap<String, String>,
    pub row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    title: String,
    pub panel: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    pub title: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default = "none")]
    unit: String,
    help: Option<String>,
    max: Option<f64>,
    #[serde(default)]
    stacked: bool,
    red_from: Option<f64>,
    red_below: Option<f64>,
    /// The words for 0 and 1.
    states: Option<[String; 2]>,
    show: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Lines,
    Number,
    States,
    Heat,
}

fn none() -> String {
    "none".to_owned()
}

/// The columns of Grafana's grid.
const COLUMNS: usize = 24;

impl Panel {
    /// Legend and expression, as Grafana gets it.
    pub fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.show.iter().map(|(legend, expression)| {
            let at = "job=~\"$job\", instance=~\"$instance\"";
            let expression = expression.replace("$at", at).replace("$rate", "$__rate_interval");
            (legend.as_str(), expression)
        })
    }

    /// Columns and rows of the grid.
    fn size(&self) -> (usize, usize) {
        if self.kind == Kind::Number { (COLUMNS / 8, 4) } else { (COLUMNS / 3, 8) }
    }

    fn json(&self, id: usize, (x, y): (usize, usize)) -> Value {
        let (width, height) = self.size();
        let (kind, options) = self.options();
        let targets: Vec<_> =
            self.shown().enumerate().map(|(at, query)| self.target(at, &query)).collect();
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.help.as_deref().unwrap_or_default(),
            "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": width, "h": height },
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
            "options": options,
            "targets": targets,
        })
    }

    fn target(&self, at: usize, (legend, expression): &(&str, String)) -> Value {
        json!({
            "refId": char::from(b'A' + at as u8).to_string(),
            "datasource": source(),
            "expr": expression,
            "legendFormat": legend,
            "editorMode": "code",
            "range": true,
            "instant": false,
            "format": if self.kind == Kind::Heat { "heatmap" } else { "time_series" },
        })
    }

    fn options(&self) -> (&'static str, Value) {
        let tooltip = json!({ "mode": "multi", "sort": "desc" });
        let legend = |shown| json!({ "showLegend": shown, "displayMode": "list", "placement": "bottom", "calcs": [] });
        match self.kind {
            Kind::Lines => ("timeseries", json!({ "legend": legend(true), "tooltip": tooltip })),
            Kind::Number => (
                "stat",
                json!({
                    "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                    "colorMode": "value",
                    "graphMode": "area",
                    "justifyMode": "auto",
                    "orientation": "auto",
                    "textMode": "auto",
                }),
            ),
            Kind::States => (
                "state-timeline",
                json!({
                    "legend": legend(false),
                    "tooltip": { "mode": "single", "sort": "none" },
                    "mergeValues": true,
                    "rowHeight": 0.8,
                    "showValue": "never",
                }),
            ),
            Kind::Heat => (
                "heatmap",
                json!({
                    "calculate": false,
                    "color": { "mode": "scheme", "scheme": "Oranges", "steps": 32, "exponent": 0.5, "fill": "dark-orange" },
                    "yAxis": { "unit": self.unit, "axisPlacement": "left" },
                    "rowsFrame": { "layout": "auto" },
                    "cellGap": 1,
                    "legend": { "show": false },
                    "tooltip": { "mode": "single", "yHistogram": false, "showColorScale": false },
                    "showValue": "never",
                }),
            ),
        }
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({
            "unit": self.unit,
            "color": { "mode": if self.kind == Kind::Lines { "palette-classic" } else { "thresholds" } },
            "thresholds": { "mode": "absolute", "steps": self.steps() },
            "custom": self.custom(),
        });
        if self.kind == Kind::Lines {
            defaults["min"] = 0.into();
        }
        if let Some(max) = self.max {
            defaults["max"] = max.into();
        }
        if self.kind == Kind::States {
            let words = self.states.clone().unwrap_or_else(|| ["down", "up"].map(str::to_owned));
            let colors = if self.red_from.is_some() { ["green", "red"] } else { ["red", "green"] };
            let state = |at: usize| json!({ "text": words[at], "color": colors[at], "index": at });
            let states = json!({ "0": state(0), "1": state(1) });
            defaults["mappings"] = json!([{ "type": "value", "options": states }]);
        }
        defaults
    }

    fn steps(&self) -> Value {
        let step = |color, from: Option<f64>| json!({ "color": color, "value": from });
        match (self.red_from, self.red_below) {
            (Some(from), _) => json!([step("green", None), step("red", Some(from))]),
            (None, Some(below)) => json!([step("red", None), step("green", Some(below))]),
            (None, None) => json!([step("green", None)]),
        }
    }

    fn custom(&self) -> Value {
        match self.kind {
            Kind::Lines => json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if self.stacked { 40 } else { 5 },
                "showPoints": "never",
                "spanNulls": false,
                "stacking": { "group": "A", "mode": if self.stacked { "normal" } else { "none" } },
            }),
            Kind::States => json!({ "fillOpacity": 80, "lineWidth": 0 }),
            Kind::Number | Kind::Heat => json!({}),
        }
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Table {
    pub fn read(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("docker/grafana/panels.toml: {error}"))
    }

    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.row.iter().flat_map(|row| &row.panel)
    }

    /// `docker/grafana/sheave.json`.
    pub fn dashboard(&self) -> Value {
        json!({
            "uid": "sheave",
            "title": "sheave",
            "description": "Made from docker/grafana/panels.toml, which is checked against the metrics that sheave has.",
            "tags": ["sheave", "proxy"],
            "schemaVersion": 41,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "fiscalYearStartMonth": 0,
            "timezone": "browser",
            "time": { "from": "now-1h", "to": "now" },
            "refresh": "30s",
            "links": [],
            "annotations": { "list": [reloads()] },
            "templating": { "list": variables() },
            "panels": self.laid_out(),
        })
    }

    fn laid_out(&self) -> Vec<Value> {
        let (mut panels, mut y) = (Vec::new(), 0);
        for row in &self.row {
            panels.push(json!({
                "id": panels.len() + 1,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
                "panels": [],
            }));
            let (mut x, mut height) = (0, 0);
            y += 1;
            for panel in &row.panel {
                let size = panel.size();
                if x + size.0 > COLUMNS {
                    (x, y) = (0, y + height);
                }
                panels.push(panel.json(panels.len() + 1, (x, y)));
                (x, height) = (x + size.0, size.1);
            }
            y += height;
        }
        panels
    }
}

/// A mark where a config was taken into use.
fn reloads() -> Value {
    json!({
        "name": "Configs",
        "datasource": source(),
        "enable": true,
        "hide": false,
        "iconColor": "blue",
        "expr": "sum by (instance) (changes(sheave_config_generation{job=~\"$job\", instance=~\"$instance\"}[1m])) > 0",
        "titleFormat": "config taken into use",
        "textFormat": "{{instance}}",
        "step": "1m",
    })
}

fn variables() -> Value {
    let choice = |name: &str, label: &str, query: &str| {
        json!({
            "type": "query",
            "name": name,
            "label": label,
            "datasource": source(),
            "query": { "qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery" },
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        })
    };
    json!([
        { "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus" },
        choice("job", "Job", "label_values(sheave_uptime_seconds, job)"),
        choice("instance", "Instance", "label_values(sheave_uptime_seconds{job=~\"$job\"}, instance)"),
        choice("route", "Route", "label_values(http_request_duration_seconds_count{job=~\"$job\"}, route)"),
        choice("upstream", "Upstream", "label_values(sheave_upstream_up{job=~\"$job\"}, upstream)"),
    ])
}
