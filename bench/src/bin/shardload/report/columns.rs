//! Cells in columns of plain text.
//!
//! Never: wraps or cuts a cell.

/// A line for each row; the first column ends on the left, the others on the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") }
        });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_on_the_right_but_for_the_first() {
        let rows = [vec!["a", "b", "µ"], vec!["long", "1", ""], vec!["x", "12345"]];
        let rows = rows.map(|row| row.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(aligned(&rows), "a         b  µ\nlong      1\nx     12345\n");
        assert_eq!(aligned(&[]), "");
    }
}
