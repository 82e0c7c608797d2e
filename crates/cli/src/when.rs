//! Moments as text: RFC 3339 in, RFC 3339 out.
//!
//! Proleptic Gregorian calendar, microseconds since 1970-01-01T00:00:00Z. A leap second is read
//! as the second after it.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads an RFC 3339 date and time, for example `2024-05-01T14:30:00.25+02:00`.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    read(text).ok_or_else(|| {
        format!("`{text}` is not a moment such as `2024-05-01T12:30:00Z` (RFC 3339)")
    })
}

fn read(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let (clock, offset_s) = zone(clock)?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let possible = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !possible {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second
            - offset_s;
    Some(seconds * MICROS_PER_SECOND + fraction_micros(fraction)?)
}

/// Splits the zone off and gives its distance from UTC in seconds.
fn zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(utc) = clock.strip_suffix(['Z', 'z']) {
        return Some((utc, 0));
    }
    let at = clock.rfind(['+', '-'])?;
    let (clock, offset) = (clock.get(..at)?, clock.get(at..)?);
    let [hours, minutes] = fields(offset.get(1..)?, ':', [2, 2])?;
    let distance = hours * 3_600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some((
        clock,
        if offset.starts_with('-') {
            -distance
        } else {
            distance
        },
    ))
}

/// Exactly `N` numbers with exactly these counts of digits.
fn fields<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut values = [0; N];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        // `i64::from_str` would take a sign.
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

/// Digits behind the point as microseconds; finer ones are cut off.
fn fraction_micros(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<6}").get(..6)?.parse().ok()
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year }; // The year begins in March here.
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Writes microseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn show(micros: i64) -> String {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:06}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, micros: i64, shown: &str) {
        assert_eq!(parse(text), Ok(micros));
        assert_eq!(show(micros), shown);
    }

    #[test]
    fn moments_read_and_show() {
        check("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z");
        check(
            "2000-02-29T23:59:59Z",
            951_868_799_000_000,
            "2000-02-29T23:59:59Z",
        );
        check(
            "2024-05-01T14:30:00.25+02:00",
            1_714_566_600_250_000,
            "2024-05-01T12:30:00.250000Z",
        );
        check(
            "1969-12-31T23:59:59.999999Z",
            -1,
            "1969-12-31T23:59:59.999999Z",
        );
        check(
            "1600-01-01T00:00:00-00:30",
            -11_676_094_200_000_000,
            "1600-01-01T00:30:00Z",
        );
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for day in -146_097..146_097 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
            assert!((1..=days_in(year, month)).contains(&date));
        }
    }

    #[test]
    fn what_is_not_a_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "2024-05-01",
            "2024-05-01T12:30Z",
            "2024-05-01T12:30:00",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:30:00.Z",
            "2024-05-01T12:30:00+2",
            "+024-05-01T12:30:00Z",
            "2024-05-01T12:30:00Zulu",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
