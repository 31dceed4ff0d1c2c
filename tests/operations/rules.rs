//! The expressions in `docker/prometheus/alerts.yml` and the like. These files keep to a simple form
//! of YAML, so that no library is needed: an expression is on the line of its key, or indented below.

/// A rule or a query.
pub struct Rule {
    /// What it records, or the alert's name.
    pub name: String,
    /// Whether `name` can be used as a metric.
    pub records: bool,
    pub expression: String,
}

/// All of a file.
pub fn read(text: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let (mut name, mut records) = (String::new(), false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (key, value) = line.trim_start_matches([' ', '-']).split_once(": ").unwrap_or_default();
        if key == "record" || key == "alert" {
            (name, records) = (value.to_owned(), key == "record");
        }
        if key != "expr" && key != "seriesQuery" {
            continue;
        }
        let mut expression = value.trim_matches('\'').to_owned();
        if value.starts_with(['|', '>']) {
            let indent = |line: &str| line.len() - line.trim_start().len();
            let own = indent(line);
            expression = String::new();
            while let Some(more) = lines.next_if(|next| indent(next) > own) {
                expression.push_str(more.trim_start());
                expression.push('\n');
            }
        }
        rules.push(Rule { name: name.clone(), records, expression });
    }
    rules
}
