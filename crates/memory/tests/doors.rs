//! Bad input is refused by name before anything changes; good input survives everything it should.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Keep, ManualClock, RealDisk, Seed, SimDisk, Timestamp};
use cortica_index::{Metric, VectorError};
use cortica_memory::{
    Confidence, Cue, Episode, MemoryStore, OpenError, RecallError, SpaceSpec, StoreError,
    StoreOptions, StoreOutcome, TEXT_BYTES_MAX, Value, check,
};
use cortica_storage::{Durability, OpenMode};
use std::path::Path;
use std::sync::Arc;

fn options(disk: &SimDisk, space: Option<SpaceSpec>) -> StoreOptions {
    StoreOptions {
        space,
        disk: Arc::new(disk.clone()),
        segment_bytes: 4_096,
        ..StoreOptions::default()
    }
}

fn open(disk: &SimDisk, space: Option<SpaceSpec>) -> Result<MemoryStore, OpenError> {
    MemoryStore::open(Path::new("store"), options(disk, space))
}

fn vector(values: [f32; 3]) -> Episode {
    Episode::new("id", "what").with_embedding(values.to_vec())
}

#[test]
fn every_bad_episode_is_refused_by_the_name_of_its_field() {
    let disk = SimDisk::new();
    let store = open(&disk, Some(SpaceSpec::new(3))).unwrap();
    let before = store.stats();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let many = (0..2_000).map(|at| at.to_string());
    let mut crowd = Episode::new("id", "");
    crowd.who = many.collect();
    for (episode, want) in [
        (Episode::new("", ""), "id: got 0 bytes, expected 1 to 256"),
        (
            Episode::new("x".repeat(257), ""),
            "id: got 257 bytes, expected 1 to 256",
        ),
        (
            Episode::new("ä".repeat(129), ""),
            "id: got 258 bytes, expected 1 to 256",
        ),
        (
            Episode::new("id", &long),
            "what: got 1048577, expected at most 1048576",
        ),
        (
            Episode::new("id", "").with_place(&long),
            "place: got 1048577",
        ),
        (
            Episode::new("id", "").with_stream(&long),
            "stream: got 1048577",
        ),
        (Episode::new("id", "").with_who(&long), "who: got 1048577"),
        (crowd, "who: got 2000, expected at most 1024"),
        (
            Episode::new("id", "").with_metadata("m", Value::Text(long.clone())),
            "metadata: got",
        ),
        (
            Episode::new("id", "").with_metadata("m", Value::Float(f64::NAN)),
            "metadata: \"m\" is not a finite number",
        ),
        (
            Episode::new("id", "").with_embedding(vec![1.0; 2]),
            "embedding: dimension: got 2 values, expected 3",
        ),
        (
            Episode::new("id", "").with_embedding(vec![]),
            "embedding: dimension: got 0 values",
        ),
        (
            vector([0.0, f32::NAN, 0.0]),
            "embedding: value 1 is NaN, expected a finite number",
        ),
        (
            vector([0.0, 1.0, f32::NEG_INFINITY]),
            "embedding: value 2 is -inf",
        ),
        (vector([0.0; 3]), "embedding: all values are zero"),
    ] {
        let error = store.store(episode).unwrap_err().to_string();
        assert!(
            error.starts_with(want),
            "{error:?} does not start with {want:?}"
        );
    }
    assert_eq!(store.stats(), before);
    store.store(Episode::new("x".repeat(256), "")).unwrap();
    store.store(vector([1.0, 0.0, 0.0])).unwrap();
    let again = store.store(vector([1.0, 0.0, 0.0])).unwrap();
    let of = "id".into();
    assert_eq!(again.outcome, StoreOutcome::Reinforced { of });
    assert!(Confidence::new(1.5).is_err() && Confidence::new(f32::NAN).is_err());
}

#[test]
fn every_bad_cue_is_refused_by_the_name_of_its_field() {
    let store = open(&SimDisk::new(), Some(SpaceSpec::new(3))).unwrap();
    store.store(vector([1.0, 0.0, 0.0])).unwrap();
    let good = || Cue::embedding(vec![1.0, 0.0, 0.0]);
    assert_eq!(
        store.recall(&good().max_results(0)),
        Err(RecallError::MaxResults { got: 0 })
    );
    assert_eq!(
        store.recall(&good().max_results(1_001)),
        Err(RecallError::MaxResults { got: 1_001 })
    );
    let nan = store.recall(&good().result_threshold(f32::NAN));
    assert!(matches!(nan, Err(RecallError::Threshold { .. })));
    for (vector, want) in [
        (vec![1.0], "embedding: dimension: got 1 values, expected 3"),
        (
            vec![0.0; 3],
            "embedding: all values are zero, expected a direction (metric cosine)",
        ),
        (
            vec![f32::INFINITY; 3],
            "embedding: value 0 is inf, expected a finite number",
        ),
    ] {
        assert_eq!(
            store
                .recall(&Cue::embedding(vector))
                .unwrap_err()
                .to_string(),
            want
        );
    }
    assert_eq!(store.recall(&good().max_results(1_000)).unwrap().len(), 1);
    assert!(
        store
            .recall(&good().result_threshold(1.5))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_store_without_a_space_keeps_episodes_but_no_vectors() {
    let disk = SimDisk::new();
    let store = open(&disk, None).unwrap();
    store.store(Episode::new("a", "words only")).unwrap();
    assert!(matches!(
        store.store(vector([1.0; 3])),
        Err(StoreError::NoSpace)
    ));
    assert_eq!(
        store.recall(&Cue::embedding(vec![1.0])),
        Err(RecallError::NoSpace)
    );
    drop(store);
    let store = open(&disk, Some(SpaceSpec::new(3))).unwrap();
    store.store(vector([1.0; 3])).unwrap();
    assert_eq!(store.get("a").unwrap().what, "words only");
    assert_eq!(store.embedding("a"), None);
    assert_eq!(store.embedding("id"), Some(vec![1.0; 3]));
    assert_eq!(store.embedding("nobody"), None);
}

#[test]
fn a_space_is_fixed_once_it_was_made() {
    let disk = SimDisk::new();
    let made = SpaceSpec::new(3)
        .with_metric(Metric::L2)
        .with_model("mpnet");
    drop(open(&disk, Some(made.clone())).unwrap());
    let refused = |spec: SpaceSpec| open(&disk, Some(spec)).unwrap_err().to_string();
    assert_eq!(
        refused(SpaceSpec::new(4)),
        "dimension: the store has 3, not 4"
    );
    let cosine = SpaceSpec::new(3).with_metric(Metric::Cosine);
    assert_eq!(refused(cosine), "metric: the store has l2, not cosine");
    let other = SpaceSpec::new(3).with_model("other");
    assert_eq!(refused(other), "model: the store has mpnet, not other");
    for spec in [None, Some(SpaceSpec::new(3)), Some(made)] {
        let info = open(&disk, spec).unwrap().stats().space.unwrap();
        assert_eq!(
            (info.dimension, info.metric, info.model.as_str()),
            (3, Metric::L2, "mpnet")
        );
    }
    let disk = SimDisk::new();
    for d in [0, 8_193] {
        let error = open(&disk, Some(SpaceSpec::new(d))).unwrap_err();
        assert!(matches!(error, OpenError::Space(VectorError::DimensionRange { got }) if got == d));
    }
    assert_eq!(
        disk.operations(),
        0,
        "a refused space leaves no folder behind"
    );
}

#[test]
fn every_field_survives_reopening() {
    let disk = SimDisk::new();
    let clock = ManualClock::new(Timestamp::from_micros(77));
    let space = Some(SpaceSpec::new(3));
    let options = StoreOptions {
        clock: Arc::new(clock),
        ..options(&disk, space)
    };
    let store = MemoryStore::open(Path::new("store"), options).unwrap();
    let episode = vector([0.1, -0.0, 1e-40])
        .with_when(Timestamp::from_micros(-9))
        .with_place("Paris")
        .with_who("Ada")
        .with_stream("work")
        .with_confidence(Confidence::new(0.25).unwrap())
        .with_metadata("n", Value::Int(3));
    let stored = store.store(episode).unwrap();
    assert_eq!((stored.seq, stored.activation.get()), (1, 0.25));
    assert_eq!(stored.durability, Durability::Durable);
    let before = store.get("id").unwrap();
    assert_eq!(before.stored_at.as_micros(), 77);
    let embedding = store.embedding("id").unwrap();
    store.close().unwrap();
    let store = open(&disk, None).unwrap();
    assert_eq!(store.get("id").unwrap(), before);
    let bits = |values: &[f32]| {
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&store.embedding("id").unwrap()), bits(&embedding));
    assert_eq!(bits(&embedding), bits(&[0.1, -0.0, 1e-40]));
    assert_eq!(store.store(Episode::new("next", "")).unwrap().seq, 2);
}

#[test]
fn an_acknowledged_batch_survives_any_power_cut() {
    let (mut cuts, mut lost) = (0, 0);
    loop {
        let disk = SimDisk::new();
        disk.power_off_after(cuts);
        let mut acknowledged = 0;
        if let Ok(store) = open(&disk, Some(SpaceSpec::new(3))) {
            for batch in 0..5_u8 {
                let episodes = (0..4_u8).map(|at| {
                    let embedding = vec![f32::from(batch), f32::from(at), 1.0];
                    Episode::new(format!("{batch}-{at}"), "x").with_embedding(embedding)
                });
                if store
                    .store_many(episodes.collect())
                    .iter()
                    .all(Result::is_ok)
                {
                    acknowledged = (usize::from(batch) + 1) * 4;
                }
            }
        }
        for seed in 0..20 {
            let keep = match seed {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Seeded(Seed(seed)),
            };
            let after = disk.power_cut(keep);
            let store = open(&after, Some(SpaceSpec::new(3))).unwrap();
            for at in 0..acknowledged {
                let (batch, at) = (at / 4, at % 4);
                let want = vec![batch as f32, at as f32, 1.0];
                if store.embedding(&format!("{batch}-{at}")) != Some(want) {
                    lost += 1;
                }
            }
            assert!(store.stats().episodes <= 20);
        }
        if disk.operations() < cuts {
            break;
        }
        cuts += 1;
    }
    println!("{cuts} cuts, {lost} lost");
    assert!(cuts > 15);
    assert_eq!(lost, 0);
}

#[test]
fn check_counts_what_is_there_and_finds_planted_damage() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let missing = check(&RealDisk, &dir).unwrap_err();
    assert!(matches!(
        missing,
        OpenError::Log(cortica_storage::OpenError::Missing { .. })
    ));
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&dir, options).unwrap();
    for at in 0..5 {
        let embedding = vec![1.0, at as f32, 2.0];
        store
            .store(Episode::new(at.to_string(), "x").with_embedding(embedding))
            .unwrap();
    }
    store.close().unwrap();
    let report = check(&RealDisk, &dir).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.records, report.episodes), (7, 5));
    let path = dir.join("log/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    let report = check(&RealDisk, &dir).unwrap();
    assert_eq!((report.damage.len(), report.episodes), (1, 4), "{report:?}");
    let options = StoreOptions {
        mode: OpenMode::MustExist,
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&dir, options).unwrap();
    assert_eq!(store.stats().episodes, 4);
    assert_eq!(store.stats().recovery.damage.len(), 1);
    let refused = store.store(Episode::new("new", "x")).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Log(error) if matches!(**error, cortica_storage::CommitError::Damaged)),
        "{refused}"
    );
    drop(store);
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it was");
}
