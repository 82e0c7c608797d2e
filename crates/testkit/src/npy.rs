//! A tiny npy reader for files we made ourselves: whole files, version 1.0, a fixed way to write
//! the header. What strangers send is read by the real crate, which this one checks.

/// `rows x columns` values as f32, `None` when the bytes are anything else.
pub(crate) fn parse(bytes: &[u8]) -> Option<(usize, usize, Vec<f32>)> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (header, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let header = str::from_utf8(header).ok()?;
    let descr = between(header, "'descr': '", "'")?;
    if !header.contains("'fortran_order': False") {
        return None;
    }
    let shape = between(header, "'shape': (", ")")?;
    let (rows, columns) = shape.split_once(',')?;
    let rows: usize = rows.trim().parse().ok()?;
    let columns: usize = columns.trim().parse().ok()?;
    let values: Vec<f32> = match descr {
        "<f4" => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        "<f2" => data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| half(u16::from_le_bytes(*b)))
            .collect(),
        "|i1" => data.iter().map(|b| f32::from(b.cast_signed())).collect(),
        _ => return None,
    };
    (values.len() == rows.checked_mul(columns)?).then_some((rows, columns, values))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// IEEE 754 binary16 by its definition: sign, five bits of exponent, ten of mantissa.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = ((bits >> 10) & 31, bits & 1023);
    let mantissa = f32::from(fraction);
    // Powers of two as quotients: exact, which `powi` does not promise.
    let size = match (exponent, fraction) {
        (0, _) => mantissa / 16_777_216.0,
        (31, 0) => f32::INFINITY,
        (31, _) => f32::NAN,
        _ => (1024.0 + mantissa) * (1_u32 << exponent) as f32 / 33_554_432.0,
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn the_three_types() {
        let f4 = file("<f4", "(1, 2)", &[0, 0, 128, 63, 0, 0, 0, 192]);
        assert_eq!(parse(&f4), Some((1, 2, vec![1.0, -2.0])));
        // 1, -2, the smallest denormal, infinity.
        let f2 = file("<f2", "(2, 2)", &[0, 0x3c, 0, 0xc0, 1, 0, 0, 0x7c]);
        let want = vec![1.0, -2.0, 2_f32.powi(-24), f32::INFINITY];
        assert_eq!(parse(&f2), Some((2, 2, want)));
        let i1 = file("|i1", "(2, 1)", &[0x80, 5]);
        assert_eq!(parse(&i1), Some((2, 1, vec![-128.0, 5.0])));
    }

    #[test]
    fn anything_else_is_none() {
        for bytes in [
            b"no npy".to_vec(),
            file("<f8", "(1, 1)", &[0; 8]),
            file("<f4", "(1, 1)", &[0; 8]),
            file("<f4", "(2,)", &[0; 8]),
        ] {
            assert_eq!(parse(&bytes), None);
        }
    }
}
