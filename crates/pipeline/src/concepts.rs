//! What is known of the concepts that have columns.

use cortica_cortex::{ColumnId, ConceptId, Concepts};

/// A concept that has a column.
#[derive(Clone, Debug)]
pub(crate) struct Concept {
    pub(crate) id: Box<[u8]>,
    pub(crate) features: Box<[f32]>,
    pub(crate) column: ColumnId,
}

/// Concepts by their numbers.
#[derive(Debug, Default)]
pub(crate) struct ConceptTable {
    concepts: Vec<Option<Concept>>,
    count: usize,
}

impl ConceptTable {
    pub(crate) fn get(&self, concept: ConceptId) -> Option<&Concept> {
        self.concepts.get(concept.get() as usize)?.as_ref()
    }

    pub(crate) fn insert(&mut self, number: ConceptId, concept: Concept) {
        let at = number.get() as usize;
        if at >= self.concepts.len() {
            self.concepts.resize_with(at + 1, || None);
        }
        self.count += usize::from(self.concepts[at].is_none());
        self.concepts[at] = Some(concept);
    }

    pub(crate) fn remove(&mut self, number: ConceptId) -> Option<Concept> {
        let removed = self.concepts.get_mut(number.get() as usize)?.take();
        self.count -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn find(&self, id: &[u8]) -> Option<(ConceptId, ColumnId)> {
        let numbered = (0..).zip(&self.concepts);
        let found = numbered.filter_map(|(number, concept)| Some((number, concept.as_ref()?)));
        found
            .filter(|(_, concept)| *concept.id == *id)
            .map(|(number, concept)| (ConceptId::new(number), concept.column))
            .next()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

impl Concepts for ConceptTable {
    fn id(&self, concept: ConceptId) -> Option<&[u8]> {
        Some(&self.get(concept)?.id)
    }

    fn features(&self, concept: ConceptId) -> Option<&[f32]> {
        Some(&self.get(concept)?.features)
    }
}
