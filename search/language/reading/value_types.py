"""What a question asks for (a price, a time, a name, ...), and whether words hold such a thing.

A line that holds none of what is asked for never answers. Rules over questions as glosses.py gives them in English, and
over lines in English, German, French and Spanish; where no rule fits, any words may answer. Pure text; knows no model
and no source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from search.language.lexical import EMPTY, is_english, language, names, numbers, plain, tokens
from search.language.reading.glosses import in_english
from search.language.reading.weekdays import ANY_DAY, ANY_SHORT, SHORT_LOWER


class ValueType(StrEnum):
    """A kind of thing that a line can hold."""

    PRICE = "price"
    TIME = "time"  # of a day
    DATE = "date"
    WHEN = "when"  # time, date, or words such as "after lunch"
    DURATION = "duration"
    COUNT = "count"  # a number that is not a price
    NUMBER = "number"
    PERSON = "person"
    PLACE = "place"
    REASON = "reason"
    COLOUR = "colour"
    CODE = "code"
    PHONE = "phone"
    EMAIL = "email"


_PAY = r"costs?|price|pa(?:y|ys|id)|spen[dt]|owe|charges?|fee|fare|expensive|rent|deposit|total|balance|bill|admission"
# What begins first in the question decides; of two that begin together the earlier here. In English, lower case.
_ASKED: tuple[tuple[ValueType, str], ...] = (
    (ValueType.REASON, r"\bwhy\b|\bwhat (?:is|was) the reason\b"),
    (
        ValueType.EMAIL,
        r"(?<!an )(?<!by )(?<!via )(?<!per )(?<!that )(?<!this )\be-?mail\b(?! (?:from|about|with|says?|saying)\b)"
        r"|\be-?mail address\b",
    ),
    (
        ValueType.PHONE,
        r"\b(?:tele)?phone number\b|\b(?:what|which) is (?:the|my|your|his|her|our|their) phone\b"
        r"|\b(?:what|which) phone (?:has|call)\b|^phone of\b"
        r"|\bwhat number (?:do|should|must|can) (?:i|we|you) (?:call|ring)\b",
    ),
    (
        ValueType.CODE,
        r"\b(?:what|which|how) (?:is|was) the (?:\w+ ){0,2}"
        r"(?:code|pin|combination|iban|(?:serial|tracking|booking) number)\b"
        r"|\b(?:what|which) (?:is|was) the number of (?:the|my|our)\b"
        r"|\b(?:what|which) code\b|\b(?:licen[cs]e|number) plate\b",
    ),
    (ValueType.DURATION, r"\bhow much time\b"),
    (
        ValueType.PRICE,
        rf"^price\b|\bhow much\b.*\b(?:{_PAY})\b|\b(?:what|was)\b.* costs?\b|\bwhat costs?\b"
        r"|\bwhat (?:(?:did|do|does|must|should) (?:i|we|you) pay|pay (?:i|we|you))\b"
        r"|\b(?:what|which) (?:is|was) the price\b",
    ),
    (
        ValueType.TIME,
        r"(?<!in )(?<!from )(?<!after )(?<!for )\b(?:what|which) time\b(?! (?:of (?:the )?(?:day|year)|zone)\b)",
    ),
    (ValueType.DATE, r"\b(?:what|which) (?:day|date|year|month)\b"),
    (
        ValueType.COLOUR,
        r"\b(?:what|which)(?:'s)? (?:[\w']+ ){0,3}colou?rs?\b(?! (?:print|cop|cartridge|guard))"
        r"|\bcolou?rs? (?:of|is|are|was|were|does|do|did)\b|^colou?rs?\b",
    ),
    (ValueType.WHEN, r"\bwhen\b|\b(?:from|after|for) (?:what|which) time\b|\bwhat time of (?:the )?(?:day|year)\b"),
    (ValueType.DURATION, r"\bhow long\b|\bin what time\b"),
    (
        ValueType.COUNT,
        r"\bhow (?:many|old|tall|heavy|deep|big|large|wide|humid)\b"
        r"|\b(?:what|which) (?:number|temperature|age|percentage|weight)\b",
    ),
    (ValueType.NUMBER, r"\bhow (?:much|high)\b"),
    (ValueType.PERSON, r"\b(?:who|whom|whose)\b"),
    (ValueType.PLACE, r"\bwhere\b|\b(?:what|which) (?:city|country|town|place|street|room)\b"),
)
_CLAUSES = frozenset({ValueType.WHEN, ValueType.PERSON, ValueType.PLACE})
# A question word or verb that asks, and not only whether somebody knows.
_ASKS_BEFORE = re.compile(
    r"(?:\b(?:what|which|how|why)\b|^(?:can|could|may|must|should|shall|do|does|did|is|are|was|were|will|would|have"
    r"|has|am)\b)"
    r"(?!.*\b(?:know|tell|say|says|said|see|remember|remind|sure|idea|find out)\b)"
)
# "mileage when it was at the garage"; in "do you know when it leaves" something else asks.
_NO_QUESTION = re.compile(
    r"(?<!know )(?<!me )(?<!sure )(?<!out )(?<!remember )(?<!see )when (?:it|i|we|he|she|they|you) \w+"
    # "Number to call when nobody is at home": no verb that asks follows.
    r"|(?<!know )(?<!me )(?<!sure )(?<!out )(?<!remember )(?<!see )(?<!idea )(?<!wonder )"
    r"(?<!check )(?<!since )(?<!until )(?<!till )(?<!from )(?<!by )"
    r"(?<!and )(?<!or )when (?!(?:do|does|did|is|are|was|were|will|would|can|could|must|should|may|have|has|had|to)\b)"
    r"\w+(?:ing\b| \w+)"
)
_MONTH = (
    r"janner|mrz|okt|dez|janv|fevr?|avr|juil|ene|abr|dic|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may"
    r"|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
    r"|januar|februar|marz|mai|juni|juli|oktober|dezember|janvier|fevrier|mars|avril|juin|juillet|aout|septembre"
    r"|octobre"
    r"|novembre|decembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
)
_NUMBER = r"(?:\d{1,2}(?!\d| ?[°%.,])|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|midnight)"
# Parts of a day: as good as a time where no clock is told.
_OF_DAY = re.compile(
    r"\b(?:midday|sunrise|sunset|dawn|dusk|all (?:day|night)"
    rf"|(?:in|until|till|every|this|on (?:{ANY_DAY})) (?:the )?(?:morning|afternoon|evening|night)"
    r"|(?:before|after) (?:breakfast|lunch|dinner|supper|school|work|dark|bedtime|class)|mittags?|abends|morgens|nachts"
    r"|vormittags?|nachmittags?|le (?:matin|soir)|midi|minuit|(?:por|de) la (?:manana|tarde|noche)|mediodia"
    r"|medianoche)\b"
)
_TIME = re.compile(
    r"\b\d{1,2}(?::|h)\d{2}\b|\b\d{1,2}\.\d{2} ?(?:h|uhr|am|pm)\b|\b\d{1,2} ?(?:am|pm|a\.m|p\.m|h|uhr|heures)\b"
    r"|o'? ?clock|\bhalf past\b|\bquarter (?:past|to)\b"
    rf"|\bnoon\b|\bmidnight\b|\b(?:at|until|till|from|by|before|bef\.?|after|aft\.?|um|ab|bis|a) {_NUMBER}\b"
    r"|\bum (?:eins?|zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|elf|zwolf)\b"
    r"|\ba las? (?:una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce)\b"
    rf"|\b{_NUMBER} in the (?:morning|afternoon|evening)\b|\b{_NUMBER}[ -](?:fifteen|thirty|forty-five)\b"
)
_DATE = re.compile(
    rf"\b(?:{_MONTH})\b|\b(?:{ANY_DAY})\b|\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|\b(?:1[0-9]|20)\d\d\b"
    rf"|\b\d{{4}}-\d\d-\d\d\b|(?<![\d.])(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?!\d)"
    r"|(?<![\d/])(?:(?:0[1-9]|[12]\d|3[01])/(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])/[23]\d)(?![\d/])"
    rf"|\b(?:le|el|du|del|entre (?:el|los dias)|(?<!\bi )am|vom|zum) (?:[1-9]|[12]\d|3[01])\b\.?(?! ?(?:[%,.:h€$£\d]"
    rf"|years|m2|km|kg))|ubermorgen"
    r"|\b(?:to|yester)?(?:day|morrow|night)\b|\b\d+(?:st|nd|rd|th)\b|\bcentury\b"
    rf"|\b(?:first|second|third|\w+th) (?:of (?:the )?)?(?:{_MONTH}|month)\b"
    r"|\b(?:\w+teenth|\w+tieth|the \w+th)\b|\b\w+-(?:first|second|third)\b"
    r"|\b(?:nine|eigh|four|fif|six|seven)teen[ -]\w+\b|\b(?:next|last|this) (?:week|month|year|\w+day)\b|\bages?\b"
)
_DATED = re.compile(
    rf"\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|\b\d{{4}}-\d\d-\d\d\b|\b(?:{_MONTH}) \d{{1,2}}\b(?:,? \d{{4}}\b)?"
    rf"|\b\d{{1,2}}\.? (?:{_MONTH})\b(?: \d{{4}}\b)?"
)
# Short names of days in other languages: beside a number, another day or a stop, behind "every", or before a noun.
_SHORT_DAY = re.compile(
    rf"(?<![\w'])(?:{ANY_SHORT})\b\.?(?:(?= ?\d{{1,2}}(?:[:h]\d\d| ?[-–] ?\d|\.\d{{1,2}}\.|\. ?[A-ZÄÖÜ]| ?(?:uhr|h)\b))"
    rf"|(?=/| ?[-–&+] ?(?:{ANY_SHORT})\b| (?:y|et|u\.|und) (?:{ANY_SHORT})\b))"
    rf"|(?<![\w'])(?:{SHORT_LOWER})\.(?= ?\d| ?[-–/&+]| (?:y|et|soir|matin|noche)\b)"
    r"|(?<!\w)(?:jeden|am|bis) (?:Mo|Di|Mi|Do|Fr|Sa|So)\b|^(?:Mo|Di|Mi|Fr|Sa) (?=[A-ZÄÖÜ][a-zäöüß]{4,})"
    r"|\b[LMXJVSD] y [LMXJVSD]\b"
)
_WHEN = re.compile(
    r"\b(?:after|before|during|while|when|until|till|since|as soon as|once|every|daily|weekly|spring|summer|autumn"
    r"|winter|morning|evening|afternoon|hours?|days?|weeks?|fortnight|months?|years?|within|holidays?|breakfast"
    r"|lunch|dinner|meals?"
    r"|bedtime|open|closed|always|soon|later|now|in season|(?:not|never) (?:before|until|on|in|after|during)|end of"
    r"|begins|starts"
    r"|weekends?|nights?|wks?|a\.m|p\.m|overdue|lifetime|seconds?|season|if|unless|as long as|in \d{3}|above|below"
    r"|due|not with|in case of|midday|dawn"
    r"|dusk|easter|whitsun|christmas|new year|minutes?|mins?"
    r"|nach|vor|seit|innert|innerhalb|tagen?|taglich|nachts?|abends?|morgens?|mittags?|nachmittags?|sofort|immer"
    r"|stunden?|wochen?"
    r"|monate?n?|jahre?n?|minuten?|nachste\w*|heute|gestern|ostern|pfingsten|weihnachten|fruhling|herbst|fruhstuck"
    r"|apres|avant|jours?|nuits?|soirs?|matins?|midi|toujours|des (?:le|la|les|\d)|heures?|semaines?|mois|demain"
    r"|hier|printemps"
    r"|(?:en|l') ?ete|automne|hiver|noel|paques|pendant|despues|antes|tous les|dias?|noches?|tardes?|mananas?"
    r"|siempre|horas?"
    r"|semanas?|(?:un|\d) ?mes|meses|anos?|hoy|ayer|primavera|verano|otono|invierno|navidad|pascua|cuando|durante"
    r"|cada|minutos?|wenn|falls|solange|sobald|zuletzt|rund um die uhr|quand|des que|au (?:debut|terme)"
    r"|al (?:inicio|final)"
    r"|saison|kw \d{1,2})\b|\d ?(?:d|j|sem|wo|std)\b"
)
# How often and how long: as good as a number.
_OFTEN = re.compile(
    r"\b(?:every|daily|weekly|monthly|yearly|hours?|days?|weeks?|months?|years?|until|till|since|half)\b"
)
# As timetables in German and Spanish write times, where prices have been taken away.
_POINTED = re.compile(r"(?<![\d.,])(?:[01]?\d|2[0-3])\.[0-5]\d(?![.,]?\d)(?! ?(?:(?:[mc]?m2?|km|k?g|l)\b|[%°]))")
_FROM_TO = re.compile(r"\b(?:[01]\d|2[0-3])[0-5]\d ?[–-] ?(?:[01]\d|2[0-3])[0-5]\d\b")  # "1340-1610"
# "7-10", but not "4-6 people" nor "12-15 kg".
_HOURS = re.compile(r"(?<![\d.,/:–-])(?:[01]?\d|2[0-4]) ?[–-] ?(?:[01]?\d|2[0-4])(?! ?[\d.,/:–%-]| ?\w)")
_CURRENCY = (
    r"(?:chf|eur|usd|gbp|sek|nok|dkk|jpy|fr\.?|francs?|franken|euros?|dollars?|pounds?|cent(?:ime|imo)?s?|pence"
    r"|rappen|francos?|dolares|livres|libras|kronen|kroner|[€$£¥])"
)
_PRICE = re.compile(
    rf"(?<![a-z]){_CURRENCY} ?\d|\d ?(?:,- ?)?{_CURRENCY}(?![a-z])|\w+\.? {_CURRENCY}(?![a-z])|\b\d+[.,]\d\d\b"
    rf"|\b\d{{1,3}}(?:[.,']\d{{3}})+\b(?! ?(?:[a-z]|%|°))|\d[.,]-"
    r"|\b(?:entry|ticket|price|total|cost|costs|fee|rent|reduced to|hire|charge|penalty)\b\D{0,20}\d"
    r"|\b\d+ a (?:day|night|week|month|year|person|piece)\b|(?<!\w)\+ ?\d{1,3}\b(?! ?[(\d°%])|\d ct\b"
    r"|\b\d+ (?:each|apiece|a head|per|pro|par|por|je)\b|\bmonths?'? rent\b|\bmonatsmieten?\b|\bmois de loyer\b"
)
# Nothing, or what something else pays for.
_FREE = re.compile(
    r"(?<!feel )(?<!sugar )(?<!gluten )(?<!lactose )(?<!fat )(?<!smoke )(?<!alcohol )(?<!-)\bfree\b(?! (?:to|from"
    r"|time|rooms?|seats?))"
    r"|\b(?:gratis|gratuit\w*|kostenlos|kostenfrei|umsonst|included|inclus\w*|incluid[oa]s?|inbegriffen|inklusive"
    r"|incl|inkl|compris|sin coste|freie spende|entfallt|waived|donations?|borne by|spende|for nothing"
    r"|no charge|offerts?"
    r"|on the house|paid by (?!bank|card|cash|cheque|transfer)|prices? on request|preise? auf anfrage"
    r"|prix sur demande)\b"
    r"|\b(?:eintritt frei|entree libre|entrada libre)\b|\b\d+ (?:tokens?|chips?|jetons?)\b"
    r"|\b(?:nothing|none|nil|nichts|rien"
    r"|nada)\W*$"
)
# A share may be told where one is asked for.
_SHARE = re.compile(
    r"\bby how much\b|\bhow much (?:less|more|cheaper|off)\b|\bon top\b"
    r"|\bhow much (?:commission|interest|discount|premium|tips?|tax|vat|of)\b|\b(?:commission"
    r"|discount|interest rate)\b"
)
# "How much sugar", but neither "how much is" nor "how much tax": words after "how much" that name nothing measured.
_MONEY = frozenset(
    tokens(
        "money tax vat tips tip discount refund interest salary credit cash change commission cost costs price rent "
        "extra per less pay fee deposit charge income wage wages pocket petrol fuel heating insurance customs duty "
        "value reward spending "
        "travel security gambling electricity amount budget debt profit savings"
    )
)
# Words after "how much" that name no thing: "how much went on furniture", "how much cheaper", "how much because ...".
_NO_THING = re.compile(
    r"(?:arrived|arrives|enters?|entered|carry|bear|wear|brought|brings?|monthly|weekly|daily|yearly|oneself|with|pay"
    r"|towards|for|off|makes?|made|doesn|didn|isn|wasn|don|was|is|goes"
    r"|go|went|gone|comes?|came|takes?|took|gives?|gave|wants?|asks?|left|remains?|lands?|landed|reaches"
    r"|puts?|won|wins?"
    r"|happens|receives?|gets?|got|stays?|stayed|pays?|paid|costs?|earns?|earned|changed|does|did|should|must|may"
    r"|will|would"
    r"|could|has|have|had|altogether|together|because|every|each|cheaper|dearer|later|longer|higher|lower|stronger"
    r"|bigger)"
)
_NOT_NAMED = frozenset(tokens("time times long people hours minutes days percent late"))
_AMOUNT = re.compile(r"\b\d+[.,]\d\d\b(?! ?(?:[a-z]|%|°))")  # as prices are written, and no unit after it
_PRICED = re.compile(
    rf"(?<![a-z]){_CURRENCY} ?\d[\d.,']{{0,15}}(?!\w)|(?<![\d.,'])\d(?:[\d.,']{{0,14}}\d)? ?{_CURRENCY}(?!\w)"
)
_DURATION = re.compile(
    r"\b(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|nights?|evenings|mornings|weekends?|weeks?|wks?|fortnights?"
    r"|months?|mths?|years?|yrs?|decades?|lessons?|sessions?|overnight|half-time|unlimited|indefinitely|forever|always"
    r"|as long as|until (?!\d)|sekunden?|minuten?|stunden?|std|tage?n?|nacht|nachte|wochen?|monate?n?|jahre?n?"
    r"|unbegrenzt"
    r"|unbefristet"
    r"|solange|heures?|jours?|nuits?|semaines?|mois|ans?|annees?|illimite\w*|segundos?|minutos?|horas?|dias?|noches?"
    r"|semanas?|(?:un|\d) ?mes|meses|anos?|ilimitad[oa]s?)\b"
    r"|\d ?(?:h|s|min|mn|d|j|sem)\b(?!')|\d['′](?![\d\w])|\bwerktagen?\b|\b[3-9]\d:\d\d\b|\b\d+:\d\d:\d\d\b"
    r"|\b\d{1,2} ?h ?\d\d\b|\b(?:none|keine|aucune?|ninguna?)\W*$"
)
# A path, a rope or a table is as long as so many metres.
_LENGTH = re.compile(
    r"\d ?(?:km|cm|mm|m|ft|feet|foot|miles?|yards?|inch(?:es)?|(?:kilo|centi|milli)?met(?:er|re|ro)s?|words|pages"
    r"|lines|characters|letters|signs|digits|zeichen|stellen)\b"
)
_IS_LONG = re.compile(
    r"\bhow long an? |\bhow long (?:is|are|was|were)\b|\bhow long (?:must|should|may|can|does|did|will) .*\bbe\W*$"
)
# Nothing is as heavy or as wide as two hours.
_MEASURES = re.compile(r"\bhow (?:tall|heavy|deep|big|large|wide|humid)\b")
_SOME = re.compile(
    r"\b(?:a|an|one|no|none|both|twice|once|half|double|nothing|unlimited|quarter|third|full|empty|voll|leer|vides?"
    r"|pleins?"
    r"|llen[oa]|eine?|keine?|halb\w*|unbegrenzt|une?|aucune?"
    r"|demi|una?|ningun\w*|zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|elf|zwolf|deux|trois|quatre|cinq|six"
    r"|sept|huit|neuf"
    r"|dix|onze|douze|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce)\b"
)
_MEASURED = re.compile(r"\bhow (?:many|much) (?:kilo\w*|km|miles?|met[er]{2}s?|lit[er]{2}s?|grams?|gigabytes?)\b")
_TIMES = re.compile(r"\bx ?\d|\d ?x\b")
_LASTS = re.compile(r"\b[a-z0-9]+ (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b")
_GREETINGS = frozenset(
    ("sure", "ok", "okay", "yes", "hi", "hello", "thanks", "dear", "great", "ja", "nein", "oui", "si")
)
_TAKES = re.compile(r"\bin what time\b|\b(?:need|take|last)(?:s|ed)?\b|\btook\b")
# "Duration 1:45": what stands beside such words is no time of a day.
_LASTING = re.compile(
    r"\b(?:durations?|lengths?|lasts?|lasted|takes?|took|dauer|duree|duracion|(?:\w+ing|travel|flight|total) time)\b"
)
_UNTIL = re.compile(
    r"\b(?:until|till|valid|not after|ends|closes|(?:done|ready) by|by (?=\d|the \w+th\b)|bis|jusqu|hasta|endet"
    r"|termina|finit)\b"
)
_NUMBERED = re.compile(r"\b(?:what|which) (?:is|was) (?:the|my|our) (?:[\w']+ ){0,2}number\b")
_NUMBER_OF = re.compile(r"\b(?:is|was) the number of (?:the|my|our)\b")  # a code's, or somebody's telephone
_PLATE = re.compile(r"\b(?:licen[cs]e|number) plate\b")  # letters and digits in groups
_CLOCK = re.compile(r"\b\d{1,2}:\d{2}\b")
_PHONE = re.compile(r"\+\d[\d /-]{7,}|\btel\b\.?:? ?[\d /-]{7,}")
_DIALLED = re.compile(r"\+?\(?\d[\d ()/.·‐‑–-]*\d")
_YEARS = re.compile(
    r"(?<!\d)(?:19|20)\d\d(?: ?[-–/] ?(?:(?:19|20)\d\d|\d\d)(?!\d))+|(?<!\d)(?:19|20)\d\d(?: (?:19|20)\d\d)+(?!\d)"
    r"|(?<!\d)\d{1,2}[./-](?:19|20)\d\d(?!\d)"
)
# Numbers that are no telephone's: with a word for what they number right before them, among letters, an account's.
_NO_PHONE = re.compile(
    r"\b(?:order|invoice|booking|customer|reference|tracking|serial|account|contract|policy|ticket|member|card|case"
    r"|article"
    r"|part|tax|vat|licen[cs]e|registration|room|row|seat)(?: (?:no|nr|number|id|code))?\b[.:# ]*\d[\d /.-]*"
    r"|\b[a-z]{2}\d{2}(?: ?\w{4}){2,}|\b(?:[a-z]+\d|\d+[a-z])\w*"
)
_DIALS = re.compile(
    r"\b(?:tel|dial|call|ring|phone|wahlen|joindre|llame|llamar)\b[.:]* ?\d{2,3}\b(?! ?\d* ?(?:hours?|days?|min|h)\b)"
)
_EMERGENCY = re.compile(r"(?<![\d.,])(?:11[0-9]|14[0-9]|911|999|000|061|080)(?![.,]?\d)")
_REACHED = re.compile(r"\b(?:call|ring|phone|reach|contact|helps?|ask)\b")
_MAIL = re.compile(r"\S@\S")
_SPELT_OUT = re.compile(r"\bat(?: [\w-]+){1,3} dot \w+\b")
_JOURNEY = re.compile(
    r"\b(?:flight|plane|train|bus|ferry|tram|coach)\b.*"
    r"\b(?:lands?|leaves?|departs?|arrives?|takes? off|boards?|boarding)\b"
)
_DAY_ALONE = re.compile(r"^\W*(?:date|day)\b")
_REASON = re.compile(
    r"\b(?:because|since|due|so|as|for|reason|caused?|owing|thanks|to|order|weil|denn|wegen|grund|car|parce|cause"
    r"|porque|debido"
    r"|easier|better|too|lack|\w+ works?$|repairs?|renovations?|maintenance|construction|failures?|faults?"
    r"|breakdowns?|broken?|accidents?"
    r"|strikes?|storms?|snow|floods?|flooding|fire|leaks?|damaged?|ill|illness|sick|shortages?)\b|:"
)
_COLOUR = re.compile(
    r"^\W*(?:colou?rs?|shades?|farben?|couleurs?|color(?:es)?)\b[ :]"
    r"|\b(?:red|green|blue|yellow|white|black|gr[ae]y|orange|pink|purple|violet|brown|golden|gold|silver|turquoise"
    r"|beige|dark|light"
    r"|rot|grun|blau|gelb|weiss|schwarz|grau|braun|rouge|verte?|bleue?|jaune|blanche?|noire?|rojo|verde|azul"
    r"|amarillo|blanco|negro)\b"
)
_PERSON = re.compile(
    r"\b(?:(?:wo)?m[ae]n|mums?|moms?|dads?|guard|monk|maid|rival|apprentice|pensioner|canton|hairdresser|makers?"
    r"|inquilin[oa]|inq|somebody|someone|whoever|the one|people|mother|father|sister|brother|aunt|uncle|cousin|friend"
    r"|neighbou?r|child(?:ren)?|boy"
    r"|girl|teacher"
    r"|doctor|driver|singer|writer|author|painter|builder|worker|farmer|printer|player|baker|king|queen|president"
    r"|captain"
    r"|tenant|landlord|owner|manager|buyer|seller|customer|guest|patient|student|employer|employee|sender|recipient"
    r"|host"
    r"|staff|team|police|caretaker|parent|famil(?:y|ies)|client|insurer|nurse|vet|dentist|plumber|electrician|coach"
    r"|chef"
    r"|boss|colleague|nobody|no one|everyone|everybody|anyone|anybody|member|adult|kid|company|department|council|bank"
    r"|reception|pupil|user|grand(?:ma|pa|mother|father|parent|son|daughter|child(?:ren)?)"
    r"|(?:post|fire|fisher|chair|trades|handy|work|sports|noble|country|spokes)(?:wo)?m[ae]n|bab(?:y|ies)|toddler"
    r"|lady|ladies"
    r"|gentlem[ae]n|girlfriend|boyfriend|wife|husband|son|daughter|twin|crew|au pair"
    r"|i|he|she|they|we|\w{3,}(?:ers|ors|ists?|smen|ians?))s?\b"
)
_PLACE = re.compile(
    r"\b(?:in|on|at|under|behind|near|next|by|opposite|from|with|above|below|inside|outside|between|beside|left"
    r"|right|upstairs"
    r"|downstairs|home|here|there|to|of|top|bottom|corner|floor|shelf|drawer|cupboard|kiosk|wing|fl|rm|auf|an|bei"
    r"|unter|hinter|neben|aus|dans|sur|sous|chez|en|sobre|bajo|detras)\b"
)
# "Under 12": who that is.
_OF_AGE = re.compile(
    r"\b(?:under|over|aged?|unter|uber|moins de|plus de|menores de|mayores de) \d{1,2}(?![\d.,:]\d|\d)"
)
# Before a number, a month or a unit: what belongs to the same value.
_BELONGS = re.compile(
    rf"(?:the|an?|one|half|few|several|hundred|thousand|million|point|eine?|halbe|une?|demi-?|una|media|{_CURRENCY}"
    r"|\d{1,2}\.|\w*(?:st|nd|rd|th))"
)
_JOINS = frozenset({"and", "of", "de"})
_PREPOSITIONS = frozenset({"at", "until", "till", "from", "by", "before", "after", "um", "ab", "bis", "a"})
_OF_NUMBERS = frozenset(ValueType) - {ValueType.PERSON, ValueType.PLACE, ValueType.REASON, ValueType.COLOUR}
# Enough for a line to answer; but where it holds more than these, the answer begins with something else.
_WEAK = {
    ValueType.PERSON: frozenset({"i", "he", "she", "they", "we"}),
    ValueType.PLACE: frozenset({"of"}),
    ValueType.REASON: frozenset({"as", "for", "so", "to"}),
}


_PHONE_DIGITS = 5
_MAX_WORDS = 80  # of a line, in which its first value is looked for: the time it takes grows with their square
_CODE_LETTERS = 3
_NAMED_COLOUR = 4  # words


@lru_cache(maxsize=64)
def expected(question: str) -> ValueType | None:
    """The kind of thing that would answer; None when any words may."""
    text = plain(in_english(question))
    matches = [(match.start(), kind) for kind, rule in _ASKED if (match := re.search(rule, text))]
    # "What do I do when it rains?", "Can I come when ...?": not every such word asks.
    asking = [
        (at, kind)
        for at, kind in matches
        if kind not in _CLAUSES or not (_ASKS_BEFORE.search(text[:at]) or (at and _NO_QUESTION.match(text, at)))
    ]
    # "Whom do I call when ...": the first word that asks is the question, the others belong to what is asked about.
    kind = min(asking, key=lambda start_and_kind: start_and_kind[0])[1] if asking else None
    if kind is ValueType.PRICE and _MEASURED.search(text):
        return ValueType.NUMBER  # "how many kilometres for that price"
    return kind


def holds(kind: ValueType | None, words: str, question: str = "") -> bool:
    """May the words hold a thing of this kind, other than what the question itself says?"""
    return _surely(kind, words, question) or _perhaps(kind, words)


def _surely(kind: ValueType | None, words: str, question: str) -> bool:
    text = plain(words)
    match kind:
        case ValueType.PRICE:
            if _FREE.search(text) or (numbers(words) and _PRICE.search(text)):
                return True
            return "%" in text and bool(_SHARE.search(plain(in_english(question))))
        case ValueType.TIME:
            return any(rule.search(text) for rule in (_TIME, _HOURS, _OF_DAY)) or _clocked(text)
        case ValueType.DATE:
            return bool(_DATE.search(text) or _SHORT_DAY.search(words))
        case ValueType.WHEN:
            # A train leaves at a time: what only gives the ticket its date does not say it.
            if _DAY_ALONE.search(text) and _JOURNEY.search(plain(in_english(question))):
                return bool(_TIME.search(text))
            if any(rule.search(text) for rule in (_TIME, _DATE, _WHEN, _HOURS)) or _SHORT_DAY.search(words):
                return True
            return _clocked(text)
        case ValueType.DURATION:
            # "How long is it open?" is answered by when it closes; how long somebody needs for something is not, but
            # may be by when it begins and ends.
            until = _UNTIL.search(text) or not _TAKES.search(plain(in_english(question)))
            times = len(_TIME.findall(text))
            lasting = times > 1 or bool(times and _LASTING.search(text))
            if _IS_LONG.search(plain(in_english(question))) and _LENGTH.search(text):
                return True
            return bool(_DURATION.search(text)) or lasting or bool(until and (times or _DATE.search(text)))
        case ValueType.CODE:
            if _NUMBER_OF.search(plain(in_english(question))) and _rings(text):
                return True
            rest = _PHONE.sub(" ", _PRICED.sub(" ", text))
            if _PLATE.search(plain(in_english(question))) and re.search(r"\d", rest):
                return True
            return any(len(token) >= _CODE_LETTERS and re.search(r"\d", token) for token in rest.split())
        case ValueType.COUNT:
            if counted(question):  # Members are not counted in days of the month.
                text = _DATED.sub(" ", text)
            if _TIMES.search(text):
                return True
            text = _PRICED.sub(" ", text)
            if _MEASURES.search(plain(in_english(question))):  # "Height 1.90"
                return _counts(_LASTS.sub(" ", text), question)
            return _counts(_AMOUNT.sub(" ", text), question)
        case ValueType.NUMBER:
            # Sugar is not measured in francs.
            return _counts(_AMOUNT.sub(" ", _PRICED.sub(" ", text)) if counted(question) else text, question)
        case ValueType.PERSON:
            # "Date 26/06/2027": what stands alone beside a number is its label, and no name.
            labelled = re.search(r"\d", text) and len(re.findall(r"[a-z]{2,}", text)) <= 1
            named = frozenset() if labelled else names(f"x {words}") - set(tokens(question)) - _GREETINGS
            reached = bool(_REACHED.search(plain(in_english(question))))
            rings = reached and (_rings(text) or bool(_EMERGENCY.search(_NO_PHONE.sub(" ", _PRICED.sub(" ", text)))))
            return bool(named) or any(rule.search(text) for rule in (_PERSON, _OF_AGE, _MAIL)) or rings
        case ValueType.PLACE:
            named = names(f"x {words}") - set(tokens(question))
            return bool(named) or bool(numbers(words)) or bool(_PLACE.search(text)) or "@" in words
        case ValueType.REASON:
            return bool(_REASON.search(text))
        case ValueType.COLOUR:
            return bool(_COLOUR.search(text))
        case ValueType.PHONE:
            return _rings(text) or bool(_DIALS.search(text))
        case ValueType.EMAIL:
            return "@" in words or bool(_SPELT_OUT.search(text))
    if _NUMBERED.search(plain(in_english(question))):
        # Neither a time nor a date nor a price is the number of a flight.
        return bool(re.search(r"\d", _CLOCK.sub(" ", _DATED.sub(" ", _AMOUNT.sub(" ", _PRICED.sub(" ", text))))))
    return True


def _clocked(text: str) -> bool:
    """Is there a time of a timetable ("16.30", "1340-1610") in the text, in lower case?"""
    return bool(_POINTED.search(_PRICED.sub(" ", text)) or _FROM_TO.search(_YEARS.sub(" ", text)))


def _perhaps(kind: ValueType | None, words: str) -> bool:
    """May words hold a thing of a kind of which no list knows all? Nearly anything is a reason, or a colour's name."""
    if kind not in (ValueType.REASON, ValueType.COLOUR):
        return False
    text = plain(words)
    named = len(re.findall(r"[a-z]{3,}", text))
    return named > 1 if kind is ValueType.REASON else named > 0 and len(text.split()) <= _NAMED_COLOUR


def first_value(kind: ValueType, words: Sequence[str], question: str = "") -> int:
    """Which of the words of a line, from 0, begins the first value of this kind; 0 where none of 80 stands alone."""
    words = words[:_MAX_WORDS]
    weak = _WEAK.get(kind, frozenset())
    strong = ["" if plain(word) in weak else word for word in words]
    if kind is ValueType.PLACE:
        strong[:1] = [""]  # its capital is no sign of a name
    start = _first_run(kind, strong, question)
    if start is None:
        start = _first_run(kind, words, question) or 0
    elif kind is ValueType.REASON and start and plain(words[start - 1]) in weak:
        start -= 1  # "for repairs"
    return _number_before(words, start) if kind in _OF_NUMBERS else start


def _first_run(kind: ValueType, words: Sequence[str], question: str) -> int | None:
    """Where the first run of words begins that holds a value by itself."""
    for end in range(1, len(words) + 1):
        if not _surely(kind, " ".join(words[:end]), question):
            continue
        start = max(begin for begin in range(end) if _surely(kind, " ".join(words[begin:end]), question))
        # "Twelve" is a count until "francs" follows.
        if end == len(words) or _surely(kind, " ".join(words[start : end + 1]), question):
            return start
    return None


def _number_before(words: Sequence[str], start: int) -> int:
    """Where a value begins whose last word of a number, unit or month is at `start`: "two hundred and forty francs"."""
    at = 0 if plain(words[start]) in _PREPOSITIONS else start
    while at > 0:
        word = plain(words[at - 1])
        if numbers(word) or _BELONGS.fullmatch(word):
            start = at - 1
        elif word not in _JOINS:
            break
        at -= 1
    return start


def counted(question: str) -> frozenset[str]:
    """What "how many" or "how much" asks about, in English, unless it is money, time or people: one word, or none."""
    match = re.search(r"\bhow (?:many|much) ([a-z]{3,})\b(?: ([a-z]+))?", plain(in_english(question)))
    if not match or (not is_english(question) and _maybe_verb(match[1], question)):
        return frozenset()
    if "how much" in match[0] and (_NO_THING.fullmatch(match[1]) or match[2] in _MONEY):
        return frozenset()
    return frozenset((match[1],)) - EMPTY - _MONEY - _NOT_NAMED


def _maybe_verb(word: str, question: str) -> bool:
    """May a word that stayed as it was in a question of another language be a verb? Nouns show that they are none."""
    asked = plain(question)
    if language(question) == "de":
        noun = re.search(rf"\b{word[0].upper()}{word[1:]}", question)
    else:
        noun = re.search(rf"\b(?:de |d'|cuant(?:a|os|as) ){word}", asked)
    return word in tokens(asked) and not noun


def _counts(text: str, question: str) -> bool:
    if numbers(text) - numbers(question) or _OFTEN.search(text):
        return True
    return bool(_SOME.search(text))


def _rings(text: str) -> bool:
    """Is there a telephone number in the text, in lower case?"""
    for rule in (_DATED, _YEARS, _TIME, _PRICED, _AMOUNT, _NO_PHONE):
        text = rule.sub(" ", text)
    return any(sum(letter.isdigit() for letter in run[0]) >= _PHONE_DIGITS for run in _DIALLED.finditer(text))
