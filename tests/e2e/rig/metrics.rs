//! The Prometheus text format, read.

/// A scrape.
pub struct Metrics {
    text: String,
}

impl Metrics {
    pub fn new(text: String) -> Self {
        Self { text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a series or a type line of this name.
    pub fn has(&self, name: &str) -> bool {
        self.series().any(|(series, _)| series_name(series) == name)
            || self.text.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")))
    }

    /// The sum over all series of this name that have these labels; `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matching = self.series().filter(|(series, _)| {
            series_name(series) == name
                && labels.iter().all(|(k, v)| {
                    series.contains(&format!("{{{k}=\"{v}\""))
                        || series.contains(&format!(",{k}=\"{v}\""))
                })
        });
        matching.map(|(_, value)| value).reduce(|a, b| a + b)
    }

    fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series, value.parse().ok()?))
        })
    }
}

fn series_name(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}
