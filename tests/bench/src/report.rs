//! What was measured, as a table for people and as JSON.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// Unit of a figure and of its primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes: less is better.
    Bytes,
    /// Operations per second: more is better.
    PerSecond,
    /// Seconds: less is better.
    Seconds,
}

/// One number with its distribution, where there is one.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// In the row's unit.
    pub value: f64,
    /// Median latency in seconds.
    pub p50_secs: Option<f64>,
    /// 99th percentile of latency in seconds.
    pub p99_secs: Option<f64>,
}

impl Measured {
    /// A bare number.
    #[must_use]
    pub fn bare(value: f64) -> Self {
        Self { value, p50_secs: None, p99_secs: None }
    }
}

/// What the figure is held against in the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Primitive {
    /// What it is.
    pub what: String,
    /// What it reached.
    pub measured: Measured,
}

/// What the design asks for.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// In words.
    pub what: &'static str,
    /// Whether this run reached it.
    pub met: bool,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub figure: String,
    /// Of figure and primitive.
    pub unit: Unit,
    /// What it reached.
    pub measured: Measured,
    /// Its limit.
    pub primitive: Option<Primitive>,
    /// Share of the primitive's speed that is reached: 1 is as fast as the bare primitive.
    pub ratio: Option<f64>,
    /// Goal of the design, where there is one.
    pub goal: Option<Goal>,
    /// What else a reader should know.
    pub note: Option<String>,
}

impl Row {
    /// A figure alone.
    #[must_use]
    pub fn new(figure: impl Into<String>, unit: Unit, measured: Measured) -> Self {
        let figure = figure.into();
        Self { figure, unit, measured, primitive: None, ratio: None, goal: None, note: None }
    }

    /// Beside its primitive; the ratio follows from both unless it was measured by itself.
    #[must_use]
    pub fn beside(mut self, what: impl Into<String>, measured: Measured, ratio: Option<f64>) -> Self {
        self.ratio = ratio.or(match self.unit {
            Unit::PerSecond => Some(self.measured.value / measured.value),
            Unit::Bytes | Unit::Seconds => Some(measured.value / self.measured.value),
        });
        self.primitive = Some(Primitive { what: what.into(), measured });
        self
    }

    /// With a goal.
    #[must_use]
    pub fn goal(mut self, what: &'static str, met: bool) -> Self {
        self.goal = Some(Goal { what, met });
        self
    }

    /// With a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// The table, in Markdown, and the notes below it.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["figure", "measured", "primitive", "measured", "ratio", "goal", "met"]);
    for row in rows {
        let (what, limit) = row
            .primitive
            .as_ref()
            .map_or_else(Default::default, |p| (p.what.clone(), text(row.unit, &p.measured)));
        let (goal, met) =
            row.goal.as_ref().map_or(("", ""), |goal| (goal.what, if goal.met { "yes" } else { "no" }));
        let ratio = row.ratio.map(ratio_text).unwrap_or_default();
        table.add_row([&row.figure, &text(row.unit, &row.measured), &what, &limit, &ratio, goal, met]);
    }
    for column in [1, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let notes = rows.iter().filter_map(|row| Some(format!("* {}: {}\n", row.figure, row.note.as_ref()?)));
    format!("{table}\n\n{}", notes.collect::<String>())
}

fn ratio_text(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

fn text(unit: Unit, measured: &Measured) -> String {
    let Measured { value, p50_secs, p99_secs } = measured;
    let value = match unit {
        Unit::Bytes => format!("{} B", grouped(*value)),
        Unit::PerSecond => format!("{}/s", grouped(*value)),
        Unit::Seconds => time(*value),
    };
    match (p50_secs, p99_secs) {
        (Some(p50), Some(p99)) => format!("{value} (p50 {}, p99 {})", time(*p50), time(*p99)),
        _ => value,
    }
}

fn time(secs: f64) -> String {
    match secs {
        secs if secs < 1e-3 => format!("{:.1} µs", secs * 1e6),
        secs if secs < 1.0 => format!("{:.2} ms", secs * 1e3),
        secs => format!("{secs:.2} s"),
    }
}

/// With commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(
            (time(1.5e-6), time(0.0123), time(2.0)),
            ("1.5 µs".into(), "12.30 ms".into(), "2.00 s".into())
        );
    }

    #[test]
    fn a_ratio_is_a_share_of_the_primitive_s_speed() {
        let rate =
            Row::new("r", Unit::PerSecond, Measured::bare(8.0)).beside("p", Measured::bare(10.0), None);
        assert_eq!(rate.ratio, Some(0.8));
        let time = Row::new("t", Unit::Seconds, Measured::bare(10.0)).beside("p", Measured::bare(8.0), None);
        assert_eq!(time.ratio, Some(0.8));
    }
}
