//! Columns as Parquet's schema.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::errors::Result;
use ::parquet::schema::types::{Type, TypePtr};

use super::{Column, Kind};

/// What every schema of ours is called.
const ROOT: &str = "cortica";

/// The schema of these columns; every one of them may be empty in any row.
pub(super) fn schema(columns: &[Column]) -> Result<TypePtr> {
    let fields: Result<Vec<TypePtr>> = columns.iter().map(field).collect();
    let root = Type::group_type_builder(ROOT).with_fields(fields?);
    Ok(Arc::new(root.build()?))
}

fn field(column: &Column) -> Result<TypePtr> {
    let (physical, logical) = match column.kind {
        Kind::Text | Kind::Texts => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Micros => (
            Physical::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
        ),
        Kind::Count => (Physical::INT32, Some(LogicalType::integer(32, false))),
        Kind::Float | Kind::Floats => (Physical::FLOAT, None),
    };
    let listed = matches!(column.kind, Kind::Texts | Kind::Floats);
    let name = if listed { "element" } else { column.name };
    let repetition = if listed {
        Repetition::REQUIRED
    } else {
        Repetition::OPTIONAL
    };
    let leaf = Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()?;
    if !listed {
        return Ok(Arc::new(leaf));
    }
    // Three levels, as the format asks for: so an empty list can be told from none.
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(leaf)])
        .build()?;
    let outer = Type::group_type_builder(column.name)
        .with_logical_type(Some(LogicalType::List))
        .with_converted_type(ConvertedType::LIST)
        .with_repetition(Repetition::OPTIONAL)
        .with_fields(vec![Arc::new(list)])
        .build()?;
    Ok(Arc::new(outer))
}

/// Names and types for people, cut to a readable length.
pub(super) fn words(schema: &Type) -> String {
    const SHOWN_MAX: usize = 32;
    let Type::GroupType { fields, .. } = schema else {
        return schema.name().to_owned();
    };
    let one = |field: &TypePtr| {
        let name: String = field.name().chars().take(64).collect();
        match &**field {
            Type::GroupType { .. } => format!("{name} (list)"),
            Type::PrimitiveType { physical_type, .. } => {
                let logical = field.get_basic_info().logical_type_ref();
                let logical = logical.map_or_else(String::new, |it| format!(" {it:?}"));
                format!("{name} ({physical_type}{logical})")
            }
        }
    };
    let mut all: Vec<String> = fields.iter().take(SHOWN_MAX).map(one).collect();
    if fields.len() > SHOWN_MAX {
        all.push(format!("and {} more", fields.len() - SHOWN_MAX));
    }
    all.join(", ")
}
