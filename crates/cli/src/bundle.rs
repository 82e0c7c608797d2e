//! The concepts that come with the program: embeddings, texts, relations, queries and what the
//! exact neighbours of each query are.
//!
//! WordNet 3.0, (c) 2006 Princeton University; the notice lies beside the data.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use cortica_formats::{NpyFile, U32Table, read_scaled_rows, read_tsv_from};

/// The bundled data in memory. Every row number in it has been checked.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) dimension: usize,
    rows: Vec<f32>,
    pub(crate) concepts: Vec<Concept>,
    pub(crate) queries: Vec<Query>,
    /// For each query its nearest rows, best first.
    pub(crate) neighbours: U32Table,
    /// Source row, destination row, type.
    pub(crate) edges: U32Table,
    relation_names: HashMap<u32, String>,
    rows_by_id: HashMap<String, usize>,
}

#[derive(Debug)]
pub(crate) struct Concept {
    /// Part of speech and offset in WordNet, `n00001740`.
    pub(crate) id: String,
    /// The words for it and its definition.
    pub(crate) text: String,
    pub(crate) part_of_speech: &'static str,
    /// `train` or `test`.
    pub(crate) split: String,
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) embedding: Vec<f32>,
    /// `example`, `lemma` or `gloss`.
    pub(crate) kind: String,
    /// The row of the concept that was meant.
    pub(crate) source: usize,
    pub(crate) text: String,
}

impl Bundle {
    /// The model that made the embeddings.
    pub(crate) const MODEL: &'static str = "all-mpnet-base-v2";

    /// Reads the embedded files; an error means that this program was built wrongly.
    pub(crate) fn read() -> anyhow::Result<Self> {
        Self::parse().context("the bundled data is damaged; build the program again")
    }

    fn parse() -> anyhow::Result<Self> {
        let (dimension, rows) = embeddings(
            include_bytes!("../data/X.npy"),
            include_bytes!("../data/X_scales.npy"),
        )?;
        let count = rows.len() / dimension;
        let concepts = concepts(include_bytes!("../data/items.tsv"))?;
        ensure!(
            concepts.len() == count,
            "{} concepts for {count} rows",
            concepts.len()
        );

        let (query_dimension, embeddings) = embeddings(
            include_bytes!("../data/q.npy"),
            include_bytes!("../data/q_scales.npy"),
        )?;
        ensure!(
            query_dimension == dimension,
            "queries of {query_dimension} numbers"
        );
        let queries = queries(
            include_bytes!("../data/queries.tsv"),
            &embeddings,
            dimension,
        )?;
        let neighbours = U32Table::from_bytes(include_bytes!("../data/gt100.u32"), NEIGHBOURS)?;
        ensure!(
            neighbours.rows() == queries.len(),
            "neighbours of {} queries",
            neighbours.rows()
        );
        let edges = U32Table::from_bytes(include_bytes!("../data/edges.u32"), 3)?;

        let ends = edges.iter().flat_map(|edge| edge.iter().take(2));
        let known = |row: usize| row < count;
        ensure!(
            neighbours
                .values()
                .iter()
                .chain(ends)
                .all(|row| known(*row as usize))
                && queries.iter().all(|query| known(query.source)),
            "a row beyond the last one is named"
        );
        Ok(Self {
            dimension,
            rows,
            rows_by_id: concepts.iter().map(|c| c.id.clone()).zip(0..).collect(),
            concepts,
            queries,
            neighbours,
            edges,
            relation_names: relation_names(include_bytes!("../data/edge_types.tsv"))?,
        })
    }

    /// The embedding of a row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.dimension..][..self.dimension]
    }

    pub(crate) fn row_of(&self, id: &str) -> Option<usize> {
        self.rows_by_id.get(id).copied()
    }

    pub(crate) fn relation_name(&self, relation: u32) -> &str {
        self.relation_names
            .get(&relation)
            .map_or("related", String::as_str)
    }
}

/// Neighbours given for each query.
const NEIGHBOURS: usize = 100;

/// Numbers per row, and all rows, each value times the scale of its row.
fn embeddings(values: &'static [u8], scales: &'static [u8]) -> anyhow::Result<(usize, Vec<f32>)> {
    let (mut values, mut scales) = (NpyFile::from_bytes(values)?, NpyFile::from_bytes(scales)?);
    let mut rows = Vec::new();
    let count = values.rows();
    read_scaled_rows(&mut values, &mut scales, 0, count, &mut rows)?;
    Ok((values.columns(), rows))
}

fn concepts(tsv: &[u8]) -> anyhow::Result<Vec<Concept>> {
    let lines = read_tsv_from(tsv, 4)?.into_iter().map(|mut columns| {
        let split = columns.swap_remove(3);
        let text = columns.swap_remove(2);
        let id = columns.swap_remove(1);
        let part_of_speech = match id.as_bytes().first() {
            Some(b'n') => "noun",
            Some(b'v') => "verb",
            Some(b'a' | b's') => "adjective",
            Some(b'r') => "adverb",
            _ => "unknown",
        };
        Concept {
            id,
            text,
            part_of_speech,
            split,
        }
    });
    Ok(lines.collect())
}

fn queries(tsv: &[u8], embeddings: &[f32], dimension: usize) -> anyhow::Result<Vec<Query>> {
    let lines = read_tsv_from(tsv, 4)?;
    ensure!(
        lines.len() * dimension == embeddings.len(),
        "{} queries",
        lines.len()
    );
    let query = |(mut columns, embedding): (Vec<String>, &[f32])| {
        let text = columns.swap_remove(3);
        let source = columns.swap_remove(2).parse()?;
        let kind = columns.swap_remove(1);
        Ok(Query {
            embedding: embedding.to_vec(),
            kind,
            source,
            text,
        })
    };
    lines
        .into_iter()
        .zip(embeddings.chunks_exact(dimension))
        .map(query)
        .collect()
}

fn relation_names(tsv: &[u8]) -> anyhow::Result<HashMap<u32, String>> {
    let name = |mut columns: Vec<String>| Ok((columns[0].parse()?, columns.swap_remove(1)));
    read_tsv_from(tsv, 2)?.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_whole() {
        let bundle = Bundle::read().unwrap();
        assert_eq!(bundle.concepts.len(), 4_096);
        assert_eq!(bundle.dimension, 768);
        assert_eq!(bundle.rows_by_id.len(), 4_096, "ids are unique");
        assert_eq!(bundle.relation_name(12), "hypernym");
    }
}
