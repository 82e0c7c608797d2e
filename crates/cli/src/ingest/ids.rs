//! Ids and texts for the rows of an npy file.

use std::path::Path;

use anyhow::{Context, bail};
use cortica_formats::read_tsv;

/// What the rows of a file are called.
#[derive(Debug)]
pub(crate) enum Ids {
    /// A row's number is its id, and it has no text.
    Numbers,
    /// Id and text of every row.
    Listed(Vec<(String, String)>),
}

impl Ids {
    /// Reads `row<TAB>id[<TAB>text]` lines, which must name every row below `rows` once, in any
    /// order. Gives the number of lines about other rows too; further columns are passed over.
    pub(crate) fn read(path: &Path, rows: usize) -> anyhow::Result<(Self, usize)> {
        let lines = read_tsv(path, 2).with_context(|| path.display().to_string())?;
        let mut listed: Vec<Option<(String, String)>> = vec![None; rows.min(lines.len())];
        let mut beyond = 0;
        for (i, mut columns) in lines.into_iter().enumerate() {
            let line = || format!("{} line {}", path.display(), i + 1);
            let row = columns[0]
                .parse::<usize>()
                .with_context(|| format!("{}: row: `{}` is not a number", line(), columns[0]))?;
            if row >= rows {
                beyond += 1;
                continue;
            }
            let Some(slot) = listed.get_mut(row) else {
                continue;
            }; // Some row below is missing.
            if slot.is_some() {
                bail!(
                    "{}: row: {row} was named before; name every row once",
                    line()
                );
            }
            let text = if columns.len() > 2 {
                columns.swap_remove(2)
            } else {
                String::new()
            };
            *slot = Some((columns.swap_remove(1), text));
        }
        let named = listed.iter().flatten().count();
        if named < rows {
            let missing = listed
                .iter()
                .position(Option::is_none)
                .unwrap_or(listed.len());
            bail!(
                "{}: row: {named} of {rows} rows have an id; the first without one is row \
                 {missing}. Nothing was stored",
                path.display()
            );
        }
        Ok((Self::Listed(listed.into_iter().flatten().collect()), beyond))
    }

    pub(crate) fn id(&self, row: usize) -> String {
        match self {
            Self::Numbers => row.to_string(),
            Self::Listed(listed) => listed
                .get(row)
                .map(|(id, _)| id.clone())
                .unwrap_or_default(),
        }
    }

    pub(crate) fn text(&self, row: usize) -> String {
        match self {
            Self::Numbers => String::new(),
            Self::Listed(listed) => listed
                .get(row)
                .map(|(_, text)| text.clone())
                .unwrap_or_default(),
        }
    }
}
