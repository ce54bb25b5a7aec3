//! A quick answer for the most used languages of Latin script, by their function words.
//!
//! Every text of some length is full of them. The language is taken when at least three of its words, and a fifth of all
//! words, are in its list, and no other language has more than half as many. Neighbours that would be mistaken for a big
//! language (Afrikaans, Catalan, Danish, Norwegian, ...) have lists of their own, so that they cause doubt; a doubt is left
//! to the library. Confidence: best / (best + second).

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use whatlang::Lang;

use crate::text::words;

/// Words looked at.
const WORDS: usize = 64;

const LISTS: [(Lang, &str); 16] = [
    (
        Lang::Eng,
        "the of and to in is that it for was on are as with be this have from or had by not but what all were when we \
         there can an your which their said if do will each about how up out them then she he many some so these would \
         into has more her him could my than been its who did get may you i they at me please write should explain does \
         why where give using make between find",
    ),
    (
        Lang::Deu,
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat \
         dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr \
         durch man sein wurde ich kann mir mich meine mein du wir was warum bitte ihr gibt wo schreibe",
    ),
    (
        Lang::Fra,
        "le la les de des du un une et à est en que qui dans pour il pas au sur ne se plus ce par je avec tout faire son \
         sa mais comme ou si leur y dire elle deux même pris aux cette vous nous ont être c'est d'un sont mon ma mes \
         comment quel quelle pourquoi peut peux moi où",
    ),
    (
        Lang::Spa,
        "el la los las de del que y a en un una es se no por con su para como más o pero sus le ya este sí porque esta \
         entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante al lo qué cómo cuál mi puedo \
         puede son yo fue ser",
    ),
    (
        Lang::Ita,
        "il lo la i gli le di del della dei che e è un una per in non con si da come al sono ma più anche nel alla ha \
         questo se ci mi nella dal delle degli cosa come perché quando dove io mio mia posso puoi essere suo o su tra",
    ),
    (
        Lang::Por,
        "o a os as de do da dos das que e em um uma para com não por mais no na se é como mas foi ao ele seu sua ou ser \
         quando muito há nos já está eu também só pelo pela até isso ela entre você meu minha posso qual são",
    ),
    (
        Lang::Nld,
        "de het een en van in is dat op te zijn met voor niet die aan er om hij ook als dan maar bij of uit nog naar heeft \
         hebben worden wordt ik je mijn hoe wat waar wij ze kan deze door over geen mij waarom u",
    ),
    (
        Lang::Afr,
        "die van het en in is dat nie 'n te om vir op met wat sy hy ek wees word deur aan ook maar was sal kan hulle ons \
         julle of as by uit na",
    ),
    (
        Lang::Swe,
        "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när hur vad \
         ska eller alla varje rätt min mitt du",
    ),
    (
        Lang::Dan,
        "og i at det som en på er af for med til den har de ikke om et han men var jeg sig fra vi så kan når hvordan hvad \
         skal eller enhver ret min mit du",
    ),
    (
        Lang::Nob,
        "og i å det som en på er av for med til den har de ikke om et han men var jeg seg fra vi så kan når hvordan hva \
         skal eller enhver rett min mitt du",
    ),
    (
        Lang::Cat,
        "el la els les de del que i a en un una és es no per amb seu seva com més o però aquest aquesta o entre quan molt \
         sense sobre també dels tota té ser són tot al l'home",
    ),
    (
        Lang::Ron,
        "și de la în a o un să cu care este nu pe din pentru mai ce se sau lui au fost sunt orice al ale are ca prin dar \
         lor dreptul eu mi",
    ),
    (
        Lang::Ind,
        "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ke karena ada atau oleh setiap orang bisa \
         mereka kita anda apa bagaimana hak",
    ),
    (
        Lang::Pol,
        "i w na z do się nie jest to że jak o co ma po ale od za przez dla lub przy są jego czy być który oraz każdy prawo",
    ),
    (
        Lang::Epo,
        "la de kaj en al estas ne por kun ke ĉiu li mi vi ili tiu kiu aŭ sia per havas rajton",
    ),
];

/// Every word's languages as bits, by the word packed into a number.
static TABLE: LazyLock<FxHashMap<u128, u32>> = LazyLock::new(|| {
    let mut table: FxHashMap<u128, u32> = FxHashMap::default();
    for (language, (_, list)) in LISTS.iter().enumerate() {
        for word in list.split_whitespace() {
            let Some(key) = pack(word) else { continue };
            *table.entry(key).or_default() |= 1 << language;
        }
    }
    table
});

/// A word of at most 15 bytes as a number, in lower case; `None` for a longer one, which is no function word.
fn pack(word: &str) -> Option<u128> {
    if word.len() > 15 {
        return None;
    }
    if word.is_ascii() {
        return Some(
            word.bytes()
                .fold(0, |n, b| n << 8 | u128::from(b.to_ascii_lowercase())),
        );
    }
    let lower = word.to_lowercase();
    (lower.len() <= 15).then(|| lower.bytes().fold(0, |n, b| n << 8 | u128::from(b)))
}

pub(super) fn detect(text: &str) -> Option<(Lang, f64)> {
    let table = &*TABLE;
    let mut counts = [0_u32; LISTS.len()];
    let mut total = 0_u32;
    for (start, end) in words(text).take(WORDS) {
        total += 1;
        let Some(key) = pack(&text[start..end]) else {
            continue;
        };
        if let Some(&(mut languages)) = table.get(&key) {
            while languages != 0 {
                counts[languages.trailing_zeros() as usize] += 1;
                languages &= languages - 1;
            }
        }
    }
    let (mut first, mut second) = ((0, 0_u32), 0_u32);
    for (language, &count) in counts.iter().enumerate() {
        if count > first.1 {
            second = first.1;
            first = (language, count);
        } else {
            second = second.max(count);
        }
    }
    let (language, best) = first;
    let clear = best >= 3 && best * 5 >= total && second * 2 <= best;
    clear.then(|| (LISTS[language].0, f64::from(best) / f64::from(best + second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_sentence_is_clear_and_a_hint_is_not() {
        assert_eq!(
            detect("What is the best way to learn it?").map(|(l, _)| l),
            Some(Lang::Eng)
        );
        assert_eq!(detect("Quicksort in Rust"), None);
        assert_eq!(detect(""), None);
        assert_eq!(detect("Все люди рождаются свободными"), None);
    }
}
