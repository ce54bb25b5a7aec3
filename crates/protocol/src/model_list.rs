//! The list of models: `GET /v1/models`.

use crate::json;

/// A model as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name.
    pub id: String,
    /// Who serves it.
    pub owned_by: String,
    /// When it was made, in seconds since 1970; 0 where unknown.
    pub created: u64,
}

/// Writes the list so that OpenAI's and Anthropic's clients both read it.
pub fn write_models(models: &[ModelEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    json::object(&mut out, |o| {
        o.field("object", "list");
        o.array("data", |a| {
            for model in models {
                a.object(|m| write_model(m, model));
            }
        });
        o.field("has_more", false);
        o.field("first_id", models.first().map(|m| &m.id));
        o.field("last_id", models.last().map(|m| &m.id));
    });
    out
}

/// Writes one model: `GET /v1/models/{id}`.
pub fn write_model_entry(model: &ModelEntry) -> Vec<u8> {
    let mut out = Vec::new();
    json::object(&mut out, |m| write_model(m, model));
    out
}

fn write_model(o: &mut json::Object<'_>, model: &ModelEntry) {
    o.field("id", &model.id);
    o.field("object", "model");
    o.field("created", model.created);
    o.field("owned_by", &model.owned_by);
    // Anthropic's names for the same.
    o.field("type", "model");
    o.field("display_name", &model.id);
    o.field("created_at", rfc3339(model.created));
    o.field("lifecycle", "active");
}

/// Seconds since 1970 as `2026-01-31T12:00:00Z` (civil calendar from days, after the shape of the 400-year cycle).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn one_list_for_both() {
        let entry = ModelEntry {
            id: "a".to_owned(),
            owned_by: "local".to_owned(),
            created: 0,
        };
        let list: serde_json::Value = serde_json::from_slice(&write_models(&[entry])).unwrap();
        assert_eq!(list["data"][0]["object"], "model");
        assert_eq!(list["data"][0]["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!((&list["object"], &list["last_id"]), (&"list".into(), &"a".into()));
    }
}
