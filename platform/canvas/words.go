package canvas

// motif is a set of things a picture can show.
type motif uint64

const (
	sun motif = 1 << iota
	moon
	stars
	clouds
	mountain
	hill
	forest
	tree
	sea
	lake
	desert
	city
	rain
	snow  // falling
	frost // lying
	fog
	northernLights
	neon
	cat
	bird
	boat
	house
	castle
	lighthouse
	balloon
	flower
	cactus
	palm
	planet
	rocket
	nebula
	rainbow
)

// terrain is what the ground of a landscape can be made of.
const terrain = mountain | hill | forest | sea | lake | desert | city

// figures are silhouettes with a place of their own.
const figures = cat | bird | boat | house | castle | lighthouse | balloon | flower | cactus | palm | rocket | tree

// motifWords says what a word of the prompt puts into the picture. Plurals in -s need no
// entry of their own.
var motifWords = map[string]motif{
	"sun": sun, "sunny": sun, "sunlight": sun, "sunshine": sun, "sunset": sun, "sunrise": sun,
	"moon": moon, "moonlight": moon, "moonlit": moon, "crescent": moon,
	"star": stars, "starry": stars, "starlight": stars, "constellation": stars,
	"cloud": clouds, "cloudy": clouds, "overcast": clouds,
	"mountain": mountain, "peak": mountain, "alp": mountain, "alpine": mountain, "cliff": mountain,
	"volcano": mountain, "canyon": mountain | desert, "himalaya": mountain, "rock": mountain,
	"hill": hill, "meadow": hill | flower, "field": hill, "valley": hill | mountain, "grass": hill,
	"countryside": hill, "farm": hill | house, "landscape": hill | mountain, "garden": hill | flower | tree,
	"forest": forest, "wood": forest, "woodland": forest, "jungle": forest, "pine": forest, "fir": forest,
	"spruce": forest, "taiga": forest,
	"tree": tree, "oak": tree, "park": tree | hill, "orchard": tree | hill, "cherry": tree, "sakura": tree,
	"blossom": tree | flower, "maple": tree,
	"sea": sea, "ocean": sea, "wave": sea, "beach": sea, "coast": sea, "shore": sea, "harbor": sea | boat,
	"harbour": sea | boat, "bay": sea, "island": sea | palm, "seascape": sea, "water": lake,
	"lake": lake, "river": lake, "pond": lake, "reflection": lake, "fjord": lake | mountain,
	"desert": desert, "dune": desert, "sand": desert, "sahara": desert, "oasis": desert | palm,
	"city": city, "cities": city, "town": city, "skyline": city, "skyscraper": city, "building": city,
	"street": city, "urban": city, "metropolis": city, "downtown": city, "tokyo": city | neon,
	"rain": rain, "rainy": rain, "drizzle": rain, "storm": rain | clouds, "thunderstorm": rain | clouds,
	"snow": snow | frost, "snowfall": snow | frost, "snowing": snow | frost, "blizzard": snow | frost | fog,
	"snowy": frost, "winter": frost, "ice": frost, "icy": frost, "frozen": frost, "glacier": frost | mountain,
	"christmas": snow | frost | forest, "arctic": frost | mountain,
	"fog": fog, "foggy": fog, "mist": fog, "misty": fog, "haze": fog, "hazy": fog,
	"aurora": northernLights, "borealis": northernLights, "northern": northernLights,
	"neon": neon, "cyberpunk": neon | city, "synthwave": neon | sun, "vaporwave": neon | sun, "futuristic": neon | city,
	"cat": cat, "kitten": cat, "kitty": cat, "feline": cat,
	"bird": bird, "seagull": bird, "gull": bird, "geese": bird, "swallow": bird, "crow": bird, "raven": bird,
	"boat": boat | sea, "ship": boat | sea, "sail": boat | sea, "sailboat": boat | sea, "sailing": boat | sea,
	"house": house, "cabin": house, "cottage": house, "hut": house, "home": house, "village": house | hill,
	"castle": castle, "fortress": castle, "palace": castle, "kingdom": castle, "fairytale": castle,
	"lighthouse": lighthouse | sea, "beacon": lighthouse | sea,
	"balloon": balloon, "airship": balloon,
	"flower": flower, "rose": flower, "tulip": flower, "poppy": flower, "poppies": flower, "daisy": flower,
	"lavender": flower, "sunflower": flower, "spring": flower | hill,
	"cactus": cactus | desert, "cacti": cactus | desert,
	"palm": palm, "tropical": palm | sea, "tropic": palm | sea, "hawaii": palm | sea,
	"planet": planet, "saturn": planet, "mars": planet, "jupiter": planet, "world": planet,
	"rocket": rocket, "spaceship": rocket | stars, "spacecraft": rocket | stars,
	"nebula": nebula | stars, "galaxy": nebula | stars, "galaxies": nebula | stars, "cosmos": nebula | stars,
	"cosmic": nebula | stars, "universe": nebula | stars, "space": nebula | stars | planet,
	"rainbow": rainbow,
}

// styleWords lets a prompt name the kind of picture when the style is "auto".
var styleWords = map[string]string{
	"landscape": StyleLandscape, "scenery": StyleLandscape,
	"aurora": StyleAurora, "borealis": StyleAurora,
	"neon": StyleNeon, "cyberpunk": StyleNeon, "synthwave": StyleNeon, "vaporwave": StyleNeon,
	"nightlife": StyleNeon, "futuristic": StyleNeon, "tokyo": StyleNeon,
	"space": StyleSpace, "galaxy": StyleSpace, "galaxies": StyleSpace, "nebula": StyleSpace, "cosmos": StyleSpace,
	"cosmic": StyleSpace, "universe": StyleSpace, "planet": StyleSpace, "astronaut": StyleSpace,
	"watercolor": StyleWatercolor, "watercolour": StyleWatercolor, "painting": StyleWatercolor, "aquarelle": StyleWatercolor,
	"sketch": StyleWatercolor, "ink": StyleWatercolor,
	"abstract": StyleFlow, "flow": StyleFlow, "marble": StyleFlow, "fluid": StyleFlow, "liquid": StyleFlow,
	"swirl": StyleFlow, "psychedelic": StyleFlow, "silk": StyleFlow, "smoke": StyleFlow,
	"geometric": StyleGeometric, "geometry": StyleGeometric, "bauhaus": StyleGeometric, "pattern": StyleGeometric,
	"mosaic": StyleGeometric, "tile": StyleGeometric, "poster": StyleGeometric, "minimal": StyleGeometric, "minimalist": StyleGeometric,
	"pixel": StylePixel, "8bit": StylePixel, "16bit": StylePixel, "retro": StylePixel, "arcade": StylePixel, "videogame": StylePixel,
}

// hour is the light of a landscape.
type hour int

const (
	anyHour hour = iota
	dawn
	day
	dusk
	night
)

var hourWords = map[string]hour{
	"dawn": dawn, "morning": dawn, "sunrise": dawn, "daybreak": dawn,
	"day": day, "noon": day, "midday": day, "daytime": day, "afternoon": day, "sunny": day, "bright": day, "summer": day,
	"dusk": dusk, "evening": dusk, "sunset": dusk, "twilight": dusk, "autumn": dusk, "warm": dusk,
	"night": night, "midnight": night, "dark": night, "nocturnal": night, "moonlit": night, "starry": night,
	"moonlight": night, "nighttime": night, "moon": night,
}

// colourWords are targets in OKLCH: c is relative to how colourful the palette is anyway,
// l is added to its lightness.
var colourWords = map[string]lch{
	"red": {0, 1.15, 27}, "crimson": {-0.04, 1.1, 20}, "scarlet": {0, 1.2, 30}, "ruby": {-0.03, 1.1, 15},
	"orange": {0.02, 1.15, 55}, "amber": {0.03, 1.1, 70}, "gold": {0.04, 1, 85}, "golden": {0.04, 1, 82},
	"yellow": {0.06, 1.15, 100}, "lime": {0.04, 1.1, 125}, "green": {0, 1.1, 145}, "emerald": {-0.02, 1.1, 160},
	"olive": {-0.04, 0.7, 115}, "mint": {0.06, 0.8, 165}, "teal": {0, 0.95, 190}, "turquoise": {0.03, 1, 195},
	"cyan": {0.04, 1.05, 205}, "aqua": {0.04, 1, 200}, "azure": {0.03, 1.05, 235}, "blue": {0, 1.2, 258},
	"navy": {-0.08, 0.9, 262}, "indigo": {-0.05, 1.1, 275}, "violet": {0, 1.15, 298}, "purple": {-0.02, 1.15, 308},
	"lilac": {0.06, 0.75, 305}, "magenta": {0.02, 1.25, 330}, "pink": {0.06, 1, 352}, "rose": {0.03, 1, 5},
	"peach": {0.06, 0.8, 50}, "coral": {0.03, 1, 35}, "brown": {-0.07, 0.6, 60}, "bronze": {-0.05, 0.65, 70},
	"beige": {0.06, 0.35, 80}, "sepia": {-0.02, 0.4, 70},
	"white": {0.1, 0.25, 240}, "black": {-0.12, 0.3, 265}, "gray": {0, 0.08, 250}, "grey": {0, 0.08, 250},
	"silver": {0.05, 0.12, 245}, "monochrome": {0, 0, 0}, "grayscale": {0, 0, 0}, "greyscale": {0, 0, 0},
}
