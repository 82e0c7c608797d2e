//! Episodes are linked to each other.

use super::{Effect, Round};
use crate::association::{AssociateOutcome, Associated, Association};
use crate::codec::{self, Link};
use crate::error::AssociateError;
use crate::job::Verdict;
use cortica_storage::AppendError;
use std::sync::Arc;

/// Associations that go into one record of the log.
const LINKS_PER_RECORD: usize = 65_536;

impl Round<'_> {
    pub(super) fn associate(
        &mut self,
        associations: &[Association],
    ) -> Vec<Verdict<Associated, AssociateError>> {
        let mut fresh = Vec::new();
        let mut verdicts: Vec<_> = associations
            .iter()
            .map(|association| self.associate_one(association, &mut fresh))
            .collect();
        let appended = self.append_links(&fresh);
        self.end_frame();
        if let Err(error) = appended {
            let error = Arc::new(error);
            for verdict in verdicts.iter_mut().filter(|verdict| verdict.waits) {
                *verdict = Verdict::now(Err(AssociateError::Append(error.clone())));
            }
        }
        verdicts
    }

    fn associate_one(
        &mut self,
        association: &Association,
        fresh: &mut Vec<Link>,
    ) -> Verdict<Associated, AssociateError> {
        let link = match self.resolve(association) {
            Ok(link) => link,
            Err(error) => return Verdict::now(Err(error)),
        };
        let key = (link.from, link.relation, link.to);
        let there = self.draft.weight(&key);
        let (outcome, waits) = match there {
            Some((weight, waits)) if weight == link.weight => {
                (AssociateOutcome::AlreadyThere, waits)
            }
            Some(_) => (AssociateOutcome::Reweighted, true),
            None => (AssociateOutcome::Added, true),
        };
        if outcome != AssociateOutcome::AlreadyThere {
            self.draft.link(key, link.weight);
            fresh.push(link);
        }
        let durability = self.store.durability;
        Verdict {
            answer: Ok(Associated {
                outcome,
                durability,
            }),
            waits,
        }
    }

    fn resolve(&self, association: &Association) -> Result<Link, AssociateError> {
        let seq = |field, id: &str| {
            let id_hash = self.draft.table.hashing.id(id);
            let found = self.draft.get(id_hash, id);
            let found = found.ok_or_else(|| AssociateError::UnknownId {
                field,
                id: id.to_owned(),
            })?;
            Ok(found.seq)
        };
        let weight = association.weight;
        if !(weight > 0.0 && weight <= 1.0) {
            return Err(AssociateError::Weight { got: weight });
        }
        Ok(Link {
            from: seq("from", &association.from)?,
            to: seq("to", &association.to)?,
            relation: association.relation,
            weight,
        })
    }

    fn append_links(&mut self, links: &[Link]) -> Result<(), AppendError> {
        for links in links.chunks(LINKS_PER_RECORD) {
            let encode = |out: &mut Vec<u8>| codec::encode_links(links, out);
            let (record, _) = self.append(codec::KIND_ASSOCIATIONS, 0, 0, encode)?;
            let effects = links.iter().map(|&link| Effect::Link { link, record });
            self.effects.extend(effects);
            self.write_piece();
        }
        Ok(())
    }
}
