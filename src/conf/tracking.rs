//! The field `Tracking` of a distribution: exactly one mode, and options.

use super::distribution::{Tracking, TrackingMode};
use super::fault::Error;
use super::fields::Fields;

const WORD_RULE: &str = "must be keep, all or minimal, and with it includechanges, includebyhand, includelogs, \
                         includebuildinfos or keepsources";

/// Reads the field, if it is there.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Tracking> {
    let field = fields.get("Tracking")?;
    let mut named: Option<TrackingMode> = None;
    let mut tracking = Tracking {
        mode: TrackingMode::Keep,
        include_changes: false,
        include_byhand: false,
        include_logs: false,
        include_buildinfos: false,
        keep_sources: false,
    };
    for word in field.words() {
        if let Some(option) = option(&mut tracking, word.text) {
            *option = true;
        } else if let Some(mode) = mode(word.text) {
            if named.is_some_and(|other| other != mode) {
                let rule = "a distribution has exactly one of keep, all and minimal";
                fields
                    .sink
                    .errors
                    .push(Error::value(&word, "second tracking mode", rule));
            }
            named = Some(mode);
        } else if matches!(word.text, "needsources" | "embargoalls") {
            let text = format!("`{}` of `Tracking` has no effect", word.text);
            fields.sink.warn(&word.place, text);
        } else {
            fields
                .sink
                .errors
                .push(Error::value(&word, "tracking option", WORD_RULE));
        }
    }
    if named.is_none() && fields.is_sound() {
        let problem = "`Tracking` must name a mode: keep, all or minimal";
        fields.sink.errors.push(Error::syntax(&field.place, problem));
    }
    Some(Tracking {
        mode: named?,
        ..tracking
    })
}

fn mode(word: &str) -> Option<TrackingMode> {
    match word {
        "keep" => Some(TrackingMode::Keep),
        "all" => Some(TrackingMode::All),
        "minimal" => Some(TrackingMode::Minimal),
        _ => None,
    }
}

fn option<'a>(tracking: &'a mut Tracking, word: &str) -> Option<&'a mut bool> {
    match word {
        "includechanges" => Some(&mut tracking.include_changes),
        "includebyhand" => Some(&mut tracking.include_byhand),
        "includelogs" => Some(&mut tracking.include_logs),
        "includebuildinfos" => Some(&mut tracking.include_buildinfos),
        "keepsources" => Some(&mut tracking.keep_sources),
        _ => None,
    }
}
