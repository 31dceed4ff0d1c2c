//! Rows whose columns stand below each other.
//!
//! Owns: their widths. May touch: nothing outside this room.

use std::fmt::Write;

/// Rows of four columns; the last may be of any length.
#[derive(Default)]
pub(super) struct Columns {
    rows: Vec<[String; 4]>,
}

impl Columns {
    /// Adds a row.
    pub(super) fn row(&mut self, row: [String; 4]) {
        self.rows.push(row);
    }

    /// Writes all rows.
    pub(super) fn write(&self, out: &mut String) {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let (one, two, three) = (width(0), width(1), width(2));
        for [a, b, c, says] in &self.rows {
            let line = format!("{a:<one$}  {b:<two$}  {c:<three$}  {says}");
            // Writing to a string can't fail.
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}
