//! Words for keys and lists: kscope's own, since RULER's come from a package.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::random::SplitMix64;

const ADJECTIVES: &str = "able agile airy alert amber ample ancient angular arctic ardent artful ashen autumn avid azure balmy barren basic bitter blank blithe blunt bold bony brash brave breezy bright brisk brittle broad broken bronze bumpy burly busy calm candid careful cheap chilly chunky civil classic clean clear clever cloudy clumsy coarse coastal cold common compact content cool copper costly cozy cracked crafty creamy crimson crisp crooked crude curious curly curved damp daring dark deep deft dense dim distant dizzy double dreamy dry dull dusky dusty eager early earnest earthy easy elastic elder empty equal even exact exotic faded faint fair faithful famous fancy fast fearless feeble fertile fiery final fine firm fleet floral fluffy foggy fond formal foreign frail frank free fresh frosty frozen frugal full funny fuzzy gentle giant gifted glad glassy gleaming global glossy golden good graceful grainy grand grave gray great greedy green grim gritty gruff hairy handy happy hardy harsh hasty hazy hearty heavy helpful hidden hollow holy honest hot huge humble humid hungry husky icy ideal idle inner ivory jagged jolly joyful juicy junior keen kind large late lavish lazy lean legal light likely limber linen little lively local lofty lone long loose loud lovely loyal lucid lucky lunar lush major maple marble mellow merry mighty mild milky minor misty modern modest moist mossy muddy mute narrow neat nimble noble noisy normal northern novel numb oaken oblong odd open orange orderly outer oval pale paper patient peaceful pearly plain playful pleasant plucky plump polar polite poor portly pretty prickly prime private prompt proper proud pure purple quaint quick quiet rapid rare raw ready regal remote rich rigid ripe robust rocky roomy rosy rough round royal rugged rural rusty sacred salty sandy scarce scarlet secret senior serene sharp sheer shiny short shy silent silky silver simple single sleek sleepy slender slim slow small smart smoky smooth snowy snug sober soft solar solemn solid sparse speedy spicy spiky square stable stark steady steep stern sticky still stony stout strange strict strong sturdy subtle sudden sunny super swift tame tan tangy tart tender tense thick thin thorny tidy tiny tired tough tranquil trim true trusty upper urban useful vague valid vast velvet vital vivid warm wary watery wavy weary western wet whole wide wild windy wise witty wooden woolly worthy young zesty";

const NOUNS: &str = "abbey acorn actor almond anchor angle ankle anvil apple apron arbor arch armor arrow atlas attic author avenue axle badge badger bakery ballad bamboo banjo banner barge barley barn barrel basin basket beach beacon beam bean bear beaver bell bench berry bicycle birch bison blanket blossom board boat bonnet book boot border bottle boulder bowl branch bread brick bridge brook broom brush bucket buffalo bugle butter button cabin cable cactus camel camera candle canoe canvas canyon captain caravan carpet carrot cart castle cattle cave cedar cellar chain chair chalk channel chapel cherry chest chimney circle citadel clam clay cliff clock cloud clover coach coast cobbler coin comb comet compass coral cord corner cottage cotton cradle crane crater crayon creek cricket crown cup curtain cushion cypress dairy daisy dam dawn deck deer delta desert desk dial diamond diary dock dolphin donkey door dove dragon drawer drum duck dune eagle easel echo elbow elm ember engine envelope estuary falcon farm fawn feather fence fern ferry fiddle field fig finch finger fish flag flame flask fleece flint flood flour flower flute forest forge fossil fountain fox frame friend frog galaxy gallery garden garlic garnet gate gazelle geyser ginger glacier glade glass glove goat goose grain granite grape grass gravel grove guitar gulf hall hammer hammock harbor hare harp harvest hat hawk hazel heath hedge helmet hen herb heron hill hinge hive honey hood hoof horizon horn horse hotel house hull inlet insect iris iron island jacket jade jar jasper jewel journal judge jungle kayak kernel kettle key kiln kitchen kite knee knight knot lace ladder lagoon lake lamb lamp lance lantern larch lark lawn leaf leather ledge lemon lens letter lever library lid lilac lily lime lion lizard lobster lock locket loft log loom lotus lute machine magnet mallet mango mantle maple marble market marsh mast meadow medal melon mill mine mint mirror mist mitten moat mole monk moon moose mosaic moss moth motor mountain mouse mule museum mushroom nail napkin needle nest nettle nickel night notebook nugget oak oar oasis oat ocean office olive onion opal orbit orchard organ otter oven owl oyster paddle page palace palm panel panther parade parcel park parrot pasture path patio peach peak pear pebble pelican pen pencil pepper piano picnic pier pigeon pillar pillow pilot pine pipe pirate pistol plain plank planet plate plaza plow plum pocket poem pond pony poplar porch portal potato pottery powder prairie prism puddle pulley pumpkin puppet quail quarry quartz quill quilt rabbit radar radio raft rail rain raisin ramp ranch raven razor reef ribbon ridge ring river road robin rocket roof root rope rose rudder rug ruler sack saddle sail salmon salt satchel saucer scarf school scissors scroll seal seat seed shadow shark shed shelf shell shield ship shirt shore shovel shrine signal silk skate sketch sled sleeve slope snail soap sofa soil spade spark sparrow spear sphere spice spider spindle spire sponge spoon spring spruce squirrel stable staff stage stair stamp star station statue steam steeple stem stew stone stool stove straw stream string sugar sun swamp swan table tailor tank tea teapot temple tent terrace theater thimble thistle thorn thread throne thumb tiger tile timber toast toad tomato torch tortoise tower trail train tram trumpet trunk tulip tunnel turkey turnip turtle umbrella valley vase vault veil vessel village vine vineyard violin voyage wagon wall walnut walrus water wave wax well whale wharf wheat wheel whistle willow window wing winter wolf wood wool workshop wreath wren yacht yard zebra zinc";

const VERBS: &str = "accept achieve admire advise agree allow answer appear argue arrange arrive attend bake balance become begin believe borrow breathe bring build burn calculate carry catch celebrate change choose climb collect combine compare complete consider continue cook count create cross dance decide defend deliver describe design develop discover divide draw drink drive earn embrace enjoy enter examine expand explain explore fasten fetch finish float follow forgive gather give grow guess happen hear hide hold hope hurry imagine improve include invent invite join jump keep knit know laugh lead learn leave lend lift listen live look make measure mend mention mix move notice obey observe offer order paint perform plan plant point prepare pretend promise protect prove provide pull push reach read receive recognise record reduce refuse remain remember repair repeat replace reply report rescue rest return reveal ride rise run save search seem sell send serve settle shake share shine shout show sing sit sleep smile solve speak spell spend spread stand start stay stop study suggest supply support suppose swim take teach tell think throw touch travel treat try turn understand visit wait walk wander want wash watch wear weave whisper win wish wonder work worry write";

static WORDS: LazyLock<[Vec<&'static str>; 2]> =
    LazyLock::new(|| [ADJECTIVES, NOUNS].map(|text| text.split(' ').collect()));

/// A key such as `gentle-meadow`, uniform over all pairs of an adjective and a noun.
pub(super) fn pair(rng: &mut SplitMix64) -> String {
    let [adjectives, nouns] = &*WORDS;
    let adjective = adjectives[rng.below(adjectives.len())];
    format!("{adjective}-{}", nouns[rng.below(nouns.len())])
}

/// At least `wanted` different words, sorted: the lists, and compounds of two nouns where that is
/// too few.
pub(super) fn pool(wanted: usize) -> Vec<String> {
    let nouns = &WORDS[1];
    let mut words: BTreeSet<String> = [ADJECTIVES, NOUNS, VERBS]
        .iter()
        .flat_map(|list| list.split(' '))
        .map(str::to_owned)
        .collect();
    let mut shift = 1;
    while words.len() < wanted && shift < nouns.len() {
        // One compound of every noun at a time, so that no noun leads more of them than another.
        for (at, first) in nouns.iter().enumerate() {
            words.insert(format!("{first}{}", nouns[(at + shift) % nouns.len()]));
        }
        shift += 1;
    }
    words.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words_and_enough_for_long_lists() {
        let words = pool(8000);
        assert!(words.len() >= 8000);
        assert!(words.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase())));
        let few = pool(10);
        assert!(few.len() > 900, "{}", few.len());
        let nouns: BTreeSet<&str> = WORDS[1].iter().copied().collect();
        assert_eq!(nouns.len(), WORDS[1].len(), "a noun is listed twice");
    }
}
