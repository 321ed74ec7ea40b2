//! `If-Match` and `If-None-Match` on values (RFC 9110 §13.1.1, §13.1.2).

use crate::field::conditional::EntityTag as Field;
use crate::field::list;
use crate::invalid::Invalid;
use crate::problem::Problem;
use crate::value::{Condition, EntityTag};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

/// A condition on the current value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match: *`.
    Present,
    /// `If-Match` with these tags.
    OneOf(Vec<EntityTag>),
    /// `If-None-Match` with these tags.
    NoneOf(Vec<EntityTag>),
}

impl Precondition {
    /// Returns the precondition of a request, if it has one.
    ///
    /// # Errors
    /// 400 for anything but a list of entity tags, and for both fields at once.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        match (Self::if_match(headers)?, tags(headers, &IF_NONE_MATCH)?) {
            (Some(_), Some(_)) => Err(Invalid::new("If-Match or If-None-Match", "both").into()),
            (only, None) => Ok(only),
            (None, Some(Tags::Any)) => Ok(Some(Self::Absent)),
            (None, Some(Tags::Of(tags))) => {
                // Weak comparison: `W/"1"` matches `"1"`.
                Ok(Some(Self::NoneOf(tags.iter().filter_map(|(_, tag)| *tag).collect())))
            }
        }
    }

    /// Parses `If-Match`, if it is present.
    ///
    /// # Errors
    /// As [`Precondition::of`].
    pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Ok(tags(headers, &IF_MATCH)?.map(|found| match found {
            Tags::Any => Self::Present,
            // Strong comparison: a weak tag matches nothing.
            Tags::Of(tags) => {
                Self::OneOf(tags.iter().filter(|(weak, _)| !weak).filter_map(|(_, tag)| *tag).collect())
            }
        }))
    }

    /// Converts it for the operations on values.
    pub(super) fn condition(&self) -> Condition<'_> {
        match self {
            Self::Absent => Condition::Absent,
            Self::Present => Condition::Present,
            Self::OneOf(tags) => Condition::OneOf(tags),
            Self::NoneOf(tags) => Condition::NoneOf(tags),
        }
    }
}

/// A list of entity tags: whether each is weak, and the tag if a value can have it.
enum Tags {
    Any,
    Of(Vec<(bool, Option<EntityTag>)>),
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let members: Vec<&str> = list::members(headers, name).collect();
    if members == ["*"] {
        return Ok(Some(Tags::Any));
    }
    let expected = |found: &str| Invalid::new(format!("* or entity tags in quotes in {name}"), found);
    let parsed = members.iter().map(|member| match Field::parse(member) {
        Some(tag) => Ok((tag.is_weak(), EntityTag::of_opaque(tag.opaque()))),
        None => Err(expected(&format!("{member:?}"))),
    });
    let tags = parsed.collect::<Result<Vec<_>, _>>()?;
    if tags.is_empty() {
        return Err(expected("none").into());
    }
    Ok(Some(Tags::Of(tags)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const A: &str = "\"0123456789abcdef0123456789abcdef\"";

    fn of(lines: &[(&'static str, &str)]) -> Result<Option<Precondition>, Problem> {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        Precondition::of(&lines.iter().map(line).collect())
    }

    #[test]
    fn stars_and_tags_are_read() {
        let tag = EntityTag::of_opaque(A.trim_matches('"')).unwrap();
        assert_eq!(tag.to_string(), A);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("if-match", "*")]), Ok(Some(Precondition::Present)));
        assert_eq!(of(&[("if-none-match", "*")]), Ok(Some(Precondition::Absent)));
        assert_eq!(of(&[("if-match", A)]), Ok(Some(Precondition::OneOf(vec![tag]))));
        let weak = format!("W/{A}, \"other\"");
        assert_eq!(of(&[("if-none-match", &weak)]), Ok(Some(Precondition::NoneOf(vec![tag]))));
        assert_eq!(
            of(&[("if-match", &weak)]),
            Ok(Some(Precondition::OneOf(vec![]))),
            "weak ones match nothing"
        );
    }

    #[test]
    fn a_tag_that_no_value_has_matches_none() {
        for other in ["", "x", &"g".repeat(32), &"A".repeat(32), "+123456789abcdef0123456789abcdef"] {
            assert_eq!(EntityTag::of_opaque(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for wrong in ["x", "", "*, \"a\"", "\"a"] {
            assert!(of(&[("if-match", wrong)]).is_err(), "{wrong}");
            assert!(of(&[("if-none-match", wrong)]).is_err(), "{wrong}");
        }
        assert!(of(&[("if-match", "*"), ("if-none-match", "*")]).is_err());
    }
}
