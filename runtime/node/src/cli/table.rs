//! Tables for people: aligned columns, no borders, so that `grep` and `awk` work on them too.

/// How a column is aligned.
#[derive(Clone, Copy)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table under construction.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no row.
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; a dash stands where a cell is empty.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        let dashed = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(dashed).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |(index, (name, _)): (usize, &(&str, Align))| {
            let longest = self.rows.iter().map(|row| row[index].chars().count()).max();
            longest.unwrap_or(0).max(name.len())
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let head = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, (_, align)), width) in row.iter().zip(&self.columns).zip(&widths) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_and_words_begin_in_line() {
        let mut table = Table::new(&[("NODE", Align::Left), ("SHARDS", Align::Right)]);
        table.row(["a".into(), "1024".into()]);
        table.row(["long".into(), String::new()]);
        assert_eq!(table.to_string(), "NODE  SHARDS\na       1024\nlong       -\n");
    }
}
