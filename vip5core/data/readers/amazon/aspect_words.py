"""The English words that `aspects` knows: grammatical words, opinion words, and nouns that are never aspects.

Everything else, such as the aspects themselves, is found in the corpus. The lists are our own: closed word classes are
complete, open ones have their most frequent members in reviews. No word is in two lists.
"""

from __future__ import annotations

#: Before a noun: "the battery", "my wife", "no smell".
DETERMINERS = """
the a an this that these those my your his her its our their no any some each every both another
"""

#: Between a thing and what is said about it: "the battery is great", "the color looks nice".
LINKING_VERBS = """
is isn't was wasn't are aren't were weren't be been being
looks looked feels felt sounds sounded smells smelled tastes tasted
seem seems seemed stays stayed works worked fits lasts lasted arrived came comes
"""

#: Subjects and auxiliaries, after which a verb follows, "i wear", "you cannot charge".
SUBJECTS = """
i you he she it we they i've ive you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll it'll we'll they'll
will would can could should may might must shall do does did don't dont doesn't doesnt didn't didnt won't wont wouldn't
can't cant cannot couldn't shouldn't let's to
"""

#: Negations of a verb or an opinion: "not great", "never charges".
NEGATIONS = """
not never
"""

#: Words that may follow a noun but are not part of a noun phrase.
JOINTS = """
of for with without and & or / but nor in on at from by as than about into onto over under after before during since
until through between because if when while where which whose though although unless per except
i'm im it's that's he's she's you're they're we're there's has have had having
"""

#: Degrees of a quality: "very sturdy", "too small".
DEGREES = """
very really so too extremely super quite rather fairly incredibly surprisingly amazingly absolutely totally
perfectly highly somewhat slightly truly exceptionally
"""

#: Adjectives without an opinion, which may stand between an opinion word and its noun: "a great little tablet".
DESCRIPTIONS = """
white black red blue green yellow pink purple orange brown grey gray
little big small large short long tall high low deep wide narrow thick thin heavy new old young hot cold wet dry
basic standard regular casual medium petite bigger biggest smaller smallest larger largest longer shorter
free real true early late main major extra full double single whole entire certain various different similar
such own same other electronic digital electric
"""

#: Adverbs, pronouns, numerals, days and other words that are neither aspects nor opinions.
OTHER_WORDS = """
me him us them myself yourself himself herself itself ourselves themselves mine yours hers ours theirs
am what how why whatever who whoever whom here there then now just only also even still already always ever often
sometimes usually once twice again soon later yet back up down out off away far across within above around together
apart instead maybe perhaps almost nearly enough all most more less least much many few several others else either
neither
first second third next previous final half
one two three four five six seven eight nine ten dozen hundred thousand
today tonight tomorrow yesterday ago
monday tuesday wednesday thursday friday saturday sunday
january february march april june july august september october november december
monthly weekly daily yearly
yes yeah oh wow thanks thank please sorry hello etc plus minus
left right inside outside underneath empty
open close closed ready able available due used using made making going getting
well however especially actually probably overall compared online
"""

#: Opinion words, positive and negative.
OPINIONS = """
good great nice excellent perfect amazing awesome wonderful fantastic fabulous terrific superb outstanding incredible
brilliant lovely beautiful gorgeous pretty cute adorable elegant stylish attractive sexy classy fun funny cool sweet
delicious tasty yummy fresh clean clear crisp bright vibrant rich smooth soft silky comfortable comfy cozy warm gentle
strong sturdy solid durable reliable dependable tough firm secure safe stable rugged flexible lightweight
easy simple quick fast speedy prompt convenient handy useful helpful practical versatile functional efficient
effective accurate precise responsive intuitive powerful quiet
cheap inexpensive affordable reasonable economical generous fair decent fine adequate acceptable ok okay average
happy pleased satisfied glad thrilled delighted impressed impressive excited grateful
ideal appropriate suitable worth worthwhile worthy valuable thoughtful special unique favorite favourite superior
best better flattering
bad poor terrible horrible awful dreadful lousy disappointing disappointed unhappy dissatisfied upset annoying
annoyed frustrating frustrated useless worthless pointless worst worse
cheaply flimsy fragile weak loose tight stiff rough scratchy itchy uncomfortable awkward clumsy bulky
difficult hard tricky complicated confusing slow sluggish laggy unreliable inaccurate faulty defective broken
expensive overpriced pricey costly greasy sticky oily smelly harsh dull bland noisy loud muddy dirty ugly boring
unflattering
"""

#: Opinion verbs, positive and negative: "love the color".
OPINION_VERBS = """
love loves loved loving like likes liked adore adores adored enjoy enjoys enjoyed enjoying appreciate appreciates
appreciated prefer preferred recommend recommends recommended hate hates hated dislike disliked regret regretted
"""

#: Nouns that reviews of any product use, and people, shops, occasions, times and units: never aspects.
GENERIC_NOUNS = """
product products item items thing things stuff something anything everything nothing someone anyone everyone nobody
everybody anybody somebody ones
way ways lot lots bit kind kinds sort type types part parts piece pieces pair pairs set sets rest bunch couple
number amount amounts reason reasons fact point points example idea ideas problem problems issue issues
question questions answer doubt sense matter mind deal deals job choice choices option options use uses purpose
need needs want difference chance luck hope shame pleasure joy fan addition bet charm bang percentage alternative
investment bargain decision surprise replacement solution companion bonus treat stuffer hit spot touch tool plan
time times day days week weeks month months year years hour hours minute minutes seconds moment morning night
evening weekend season summer winter spring fall date age
people person man men woman women guy guys girl girls boy boys kid kids child children baby babies family families
friend friends husband wife son sons daughter daughters mother mom mum father dad parents sister sisters brother
brothers uncle aunt niece nephew nieces nephews grandson granddaughter grandchildren grandkids grandma grandmother
grandpa grandfather boyfriend girlfriend cousin boss coworker coworkers teacher teachers student
user users owner customer customers buyer reviewer reviewers recipient recipients lady ladies folks
amazon company companies manufacturer retailer seller sellers vendor store stores shop website site place home
house world country money dollar dollars buck bucks cent cents order orders purchase purchases buy review reviews
star stars rating comment comments description
christmas xmas birthday birthdays holiday holidays valentine valentines anniversary graduation easter thanksgiving
halloween hanukkah eve
inch inches foot feet pound pounds ounce ounces percent end side
"""

#: Before a name: a full stop after them does not end a sentence.
TITLES = """
mr mrs ms dr st vs
"""
