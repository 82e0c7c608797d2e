//! Parquet files: what is written is read, and what is damaged or hostile is refused.
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cortica_formats::parquet::{Cell, Column, GROUP_ROWS, Kind, ParquetError, Reader, Writer};
use cortica_testkit::{CountingAllocator, peak_bytes};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// One column of each kind.
const COLUMNS: &[Column] = &[
    Column::new("text", Kind::Text),
    Column::new("json", Kind::Json),
    Column::new("when", Kind::Micros),
    Column::new("count", Kind::Count),
    Column::new("number", Kind::Float),
    Column::new("who", Kind::Texts),
    Column::new("vector", Kind::Floats),
];

type Row = Vec<Cell<'static>>;

fn written(rows: &[Row], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Writer::new(Vec::new(), COLUMNS).unwrap();
    for row in rows {
        out.write(row).unwrap();
    }
    out.finish(metadata).unwrap()
}

/// A folder with one file in it.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Stage {
        Stage(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("rows.parquet")
    }

    /// In place: a file that is cut to nothing first costs ten times as much.
    fn write(&self, bytes: &[u8]) {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path())
            .unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        (&file).write_all(bytes).unwrap();
    }

    /// Everything that a file of these bytes gives, up to the first error.
    fn read(&self, bytes: &[u8]) -> Result<Vec<Row>, ParquetError> {
        self.write(bytes);
        read(&self.path())
    }
}

fn read(path: &Path) -> Result<Vec<Row>, ParquetError> {
    Reader::open(path, COLUMNS)?.collect()
}

/// The bits of every number, so that NaN equals itself and 0 is not -0.
fn bits(rows: &[Row]) -> Vec<String> {
    let bits = |cell: &Cell<'_>| match cell {
        Cell::Float(number) => format!("{:08x}", number.to_bits()),
        Cell::Floats(numbers) => {
            let bits: Vec<u32> = numbers.iter().map(|it| it.to_bits()).collect();
            format!("{bits:x?}")
        }
        other => format!("{other:?}"),
    };
    let row = |row: &Row| row.iter().map(bits).collect::<Vec<_>>().join("|");
    rows.iter().map(row).collect()
}

fn sample() -> Vec<Row> {
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&it| it.into()).collect() };
    vec![
        vec![
            Cell::Text("crc32:00000000".into()), // What the checksum looks like, in the statistics too.
            Cell::Text("{\"a\":1}".into()),
            Cell::Micros(-5),
            Cell::Count(u32::MAX),
            Cell::Float(-0.0),
            Cell::Texts(texts(&["Ada", "", "Bob"]).into()),
            Cell::Floats(vec![1.0, f32::NAN, f32::MIN_POSITIVE / 2.0].into()),
        ],
        vec![Cell::Null; 7],
        vec![
            Cell::Text(String::new().into()),
            Cell::Null,
            Cell::Micros(i64::MIN),
            Cell::Count(0),
            Cell::Float(f32::from_bits(0x7fc0_1234)),
            Cell::Texts(Vec::new().into()),
            Cell::Floats(Vec::new().into()),
        ],
    ]
}

#[test]
fn what_is_written_is_read() {
    let stage = Stage::new();
    let metadata = [("head", "\u{e4} \"quoted\"\n"), ("empty", "")];
    let bytes = written(&sample(), &metadata);
    assert_eq!(
        bytes,
        written(&sample(), &metadata),
        "writing is repeatable"
    );
    assert_eq!(bits(&stage.read(&bytes).unwrap()), bits(&sample()));
    let file = Reader::open(&stage.path(), COLUMNS).unwrap();
    assert_eq!(file.rows(), 3);
    for (key, value) in metadata {
        assert_eq!(file.metadata(key), Some(value));
    }
    assert_eq!(file.metadata("other"), None);
    assert_eq!(stage.read(&written(&[], &[])).unwrap(), [] as [Row; 0]);
}

fn cells() -> impl Strategy<Value = Row> {
    let text = || prop_oneof![Just(String::new()), "\\PC{0,40}"];
    let number = || any::<u32>().prop_map(f32::from_bits);
    let or_none =
        |cell: BoxedStrategy<Cell<'static>>| prop_oneof![1 => Just(Cell::Null), 4 => cell];
    (
        or_none(text().prop_map(|it| Cell::Text(it.into())).boxed()),
        or_none(text().prop_map(|it| Cell::Text(it.into())).boxed()),
        or_none(any::<i64>().prop_map(Cell::Micros).boxed()),
        or_none(any::<u32>().prop_map(Cell::Count).boxed()),
        or_none(number().prop_map(Cell::Float).boxed()),
        or_none(
            prop::collection::vec(text(), 0..4)
                .prop_map(|it| Cell::Texts(it.into()))
                .boxed(),
        ),
        or_none(
            prop::collection::vec(number(), 0..9)
                .prop_map(|it| Cell::Floats(it.into()))
                .boxed(),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g])
}

proptest! {
    #[test]
    fn any_rows_come_back_to_the_bit(rows in prop::collection::vec(cells(), 0..60)) {
        let read = Stage::new().read(&written(&rows, &[])).unwrap();
        prop_assert_eq!(bits(&read), bits(&rows));
    }
}

/// More rows than a group has, and rows so large that a group is closed early.
#[test]
fn memory_is_that_of_a_row_group() {
    let stage = Stage::new();
    let row = |number: usize| -> Row {
        let mut row = sample()[number % 3].clone();
        row[2] = Cell::Micros(number as i64);
        row[6] = Cell::Floats(vec![number as f32; 768].into());
        row
    };
    let rows = 3 * GROUP_ROWS + 7;
    let ((), writing) = peak_bytes(|| {
        let sink = io::BufWriter::new(File::create(stage.path()).unwrap());
        let mut out = Writer::new(sink, COLUMNS).unwrap();
        for number in 0..rows {
            out.write(&row(number)).unwrap();
        }
        out.finish(&[]).unwrap();
    });
    let length = fs::metadata(stage.path()).unwrap().len();
    let ((), reading) = peak_bytes(|| {
        let mut read = Reader::open(&stage.path(), COLUMNS).unwrap();
        for number in 0..rows {
            let found = read.next().unwrap().unwrap();
            assert_eq!(bits(&[found]), bits(&[row(number)]));
        }
        assert!(read.next().is_none());
    });
    assert!(length > 75_000_000, "{length}");
    // 16 MiB of values and as much again of levels; vectors double as they grow.
    let most = 64 << 20;
    assert!(
        writing < most && reading < most,
        "{writing} and {reading} bytes of {length}"
    );
}

#[test]
fn every_length_and_every_flipped_bit_is_refused() {
    let stage = Stage::new();
    let bytes = written(&sample(), &[("head", "h")]);
    for length in 0..bytes.len() {
        let refused = stage.read(&bytes[..length]).expect_err("it is cut");
        assert!(!refused.to_string().is_empty(), "{length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(stage.read(&longer), Err(ParquetError::Unfinished)));
    let mut by_checksum = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let refused = stage.read(&bytes).expect_err("it is damaged");
            by_checksum += usize::from(matches!(refused, ParquetError::Checksum { .. }));
        }
    }
    assert!(
        by_checksum > bytes.len() * 7,
        "{by_checksum} of {} bytes",
        bytes.len()
    );
}

/// Puts the checksum right after the bytes were changed, as whoever crafts a file would.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mark = b"crc32:";
    let Some(at) = bytes.windows(mark.len()).rposition(|it| it == mark) else {
        return bytes;
    };
    let digits = at + mark.len()..at + mark.len() + 8;
    if digits.end > bytes.len() {
        return bytes;
    }
    bytes[digits.clone()].fill(b'0');
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes);
    let right = format!("{:08x}", sum.finalize());
    bytes[digits].copy_from_slice(right.as_bytes());
    bytes
}

/// Files that a stranger could make: they may be read as something else, but nothing panics, and
/// nothing is set aside for what is not there.
#[test]
fn crafted_files_cost_nothing_and_panic_nowhere() {
    let stage = Stage::new();
    let bytes = written(&sample(), &[("head", "h")]);
    assert_eq!(sealed(bytes.clone()), bytes);
    let (mut refused, mut read) = (0, 0);
    let mut try_one = |bytes: Vec<u8>, what: &dyn std::fmt::Debug| {
        let bytes = sealed(bytes);
        stage.write(&bytes);
        let (result, peak) = peak_bytes(|| self::read(&stage.path()));
        assert!(peak < 2 << 20, "{what:?}: {peak} bytes");
        match result {
            Ok(_) => read += 1,
            Err(ParquetError::Checksum { .. }) => panic!("{what:?} was not sealed"),
            Err(_) => refused += 1,
        }
    };
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            try_one(bytes, &(at, bit));
        }
        for byte in [0, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            try_one(bytes, &(at, byte));
        }
        // Lengths and counts are numbers of several bytes.
        let mut bytes = bytes.clone();
        let to = (at + 4).min(bytes.len());
        bytes[at..to].fill(0xff);
        try_one(bytes, &(at, "four"));
    }
    assert!(
        refused > 1_000 && read > 1_000,
        "{refused} refused, {read} read"
    );
}

#[track_caller]
fn check_columns(columns: &'static [Column], says: &[&str]) {
    let stage = Stage::new();
    let out = Writer::new(File::create(stage.path()).unwrap(), columns).unwrap();
    out.finish(&[]).unwrap();
    let refused = read(&stage.path()).expect_err("other columns");
    assert!(matches!(refused, ParquetError::Columns { .. }), "{refused}");
    let words = refused.to_string();
    assert!(says.iter().all(|say| words.contains(say)), "{words}");
}

#[test]
fn other_columns_are_named() {
    const FEWER: &[Column] = COLUMNS.split_at(6).0;
    const OTHER: &[Column] = &[
        Column::new("text", Kind::Texts),
        Column::new("n", Kind::Micros),
    ];
    check_columns(FEWER, &["has the columns text", "vector (list)"]);
    check_columns(OTHER, &["has the columns text (list), n (INT64"]);
    check_columns(&[], &["expected text"]);
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let stage = Stage::new();
    let missing = Reader::open(&stage.path(), COLUMNS);
    assert!(matches!(missing, Err(ParquetError::Missing { .. })));
    let folder = Reader::open(stage.0.path(), COLUMNS);
    assert!(matches!(folder, Err(ParquetError::NotAFile { .. })));
    assert!(matches!(stage.read(b""), Err(ParquetError::NotParquet)));
    assert!(matches!(stage.read(b"PAR1"), Err(ParquetError::Unfinished)));
    let huge = b"PAR1\xff\xff\xff\x7fPAR1";
    assert!(matches!(
        stage.read(huge),
        Err(ParquetError::FooterTooLarge { .. })
    ));
    let mut unsealed = written(&sample(), &[]);
    let at = unsealed.windows(6).rposition(|it| it == b"crc32:").unwrap();
    unsealed[at..at + 6].copy_from_slice(b"other:");
    // The text in the statistics is not taken for the checksum, which lies behind it.
    assert!(matches!(
        stage.read(&unsealed),
        Err(ParquetError::Checksum { .. } | ParquetError::Unsealed)
    ));
}

#[test]
fn rows_that_do_not_fit_are_refused_by_name() {
    let mut out = Writer::new(Vec::new(), COLUMNS).unwrap();
    let short = out.write(&[Cell::Null]).unwrap_err();
    assert_eq!(short.to_string(), "row 0: got 1 cells for 7 columns");
    let mut row = sample().remove(1);
    row[5] = Cell::Text("Ada".into());
    let mut out = Writer::new(Vec::new(), COLUMNS).unwrap();
    let other = out.write(&row).unwrap_err();
    assert_eq!(other.to_string(), "row 0: column who: the cell is no Texts");
}

/// Fails as a pipe does whose reader left.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_the_system_refuses_keeps_its_kind() {
    let mut out = Writer::new(Closed, COLUMNS).unwrap();
    out.write(&sample()[0]).unwrap();
    match out.finish(&[]) {
        Err(ParquetError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
        other => panic!("{:?}", other.map(|_| ())),
    }
}
