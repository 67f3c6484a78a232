"""The words by which the rules know identification, advice, assurances, pressure, discretion and complaints. Data only.

Same shape as ``lexicon``: expressions over a plain text with one space between words and at either end.
"""

from __future__ import annotations

from cofi_dagster.node.rules.lexicon import cue

IDENTIFIED = cue(
    "(?:client |account |my |mera |ucc )?(?:code|id|account number)(?: (?:is|number|hai))* (?!please|kya|"
    "batao|bataiye)(?:(?:[a-z] )*[a-z]{0,3}\\d[a-z0-9]*" "|(?:[a-z] )*(?:zero|one|two|three|four|five|six|seven|"
    "eight|nine|double|ek|do|teen|chaar|paanch)(?: [a-z]+)?)",
    "my name is [^ ]+", "(?:mera|my) naam [^ ]+",
    "this is (?!a |the |not |for |my |very |wrong |right |correct )[^ ]+(?: [^ ]+)? (?:speaking|calling|here)",
    "(?:am i )?(?:speaking|talking) (?:with|to) (?:mr|mrs|ms|mister|missus|miss) [^ ]+",
    "main [^ ]+(?: [^ ]+)? bol rah[ai]", "(?:mr|mrs|mister|missus) [^ ]+ (?:speaking|here)",
    "मेरा नाम [^ ]+", "मैं [^ ]+(?: [^ ]+)? बोल रह[ाी]", "(?:क्लाइंट )?कोड [^ ]*[0-9०-९][^ ]*",
)  # fmt: skip
ASKS_IDENTITY = cue(
    "(?:your|aapka|client) (?:client |account )?(?:code|name|naam|id)", "who is (?:this|calling|speaking)",
    "may i know your name", "kaun bol rah[ae]", "date of birth", "आपका (?:नाम|कोड)", "कौन बोल रह[ाे]",
)  # fmt: skip
ADVICE = cue(
    "i (?:would )?(?:recommend|suggest|advise)", "my (?:advice|recommendation|suggestion)",
    "you should (?:buy|sell|book|hold|exit|take|add)", "we are recommending", "our research",
    "(?:very )?good (?:stock|time to (?:buy|sell)|opportunity|call)", "strong buy",
    "it will (?:go up|rise|fall|double)", "(?:achh?a|badhiya) (?:stock|share|mauka|call)",
    "meri (?:salah|rai|maano)", "le lijiye (?:achh?a|upar)", "upar jayega",
    "i have a (?:good )?(?:tip|call)", "सलाह", "अच्छा (?:स्टॉक|शेयर|मौका)", "ऊपर जाएगा",
)  # fmt: skip
ASKS_ADVICE = cue(
    "what (?:do|would) you (?:think|suggest|recommend|advise)", "should i",
    "(?:any|your) (?:advice|suggestion|recommendation|view|opinion|tips?)", "what should i",
    "suggest (?:me|something)", "kya (?:lu|loon|lena chahiye|karu|lagta)",
    "aap(?:ki|ka) (?:rai|view|opinion|salah)", "kaunsa (?:lu|loon|achh?a)", "क्या (?:लूं|लेना चाहिए|लगता)",
    "आपकी (?:राय|सलाह)",
)  # fmt: skip
ASSURANCE = cue(
    "guarante[ae][a-z]*", "assur(?:e|ed|ance)(?: (?:you|return|returns|profit))?", "sure ?shot",
    "(?:no|zero) (?:risk|loss)", "risk free",
    "(?:definite|definitely|certain|sure)(?:ly)? (?:profit|return|go up|double|gain)",
    "(?:hundred|100) percent (?:profit|sure|return|guaranteed)",
    "pakka (?:profit|munafa|return|upar|fayda)", "nuks?aan nahi(?:n)? hoga", "paisa double",
    "money (?:will )?double", "cannot lose", "cant lose", "गारंटी", "पक्का (?:मुनाफा|प्रॉफिट|फायदा)",
    "नुकसान नहीं होगा",
)  # fmt: skip
NO_ASSURANCE = cue(
    "(?:no|not|cannot|cant|dont|never|without|nahi|nahin) (?:[a-z]+ ){0,3}(?:guarante[ae][a-z]*|assur[a-z]*)",
    "guarante[ae][a-z]* (?:nahi|nahin|nai)(?: [a-z]+)?", "गारंटी नहीं",
)  # fmt: skip
PRESSURE = cue(
    "last chance", "hurry(?: up)?", "(?:dont|do not) miss",
    "you (?:must|have to|need to) (?:buy|sell|take|do|decide)", "only (?:for )?today", "right now or",
    "before it is too late", "just (?:do|take|buy) it", "trust me",
    "(?:jaldi|abhi) (?:karo|kijiye|lo|lijiye|lena padega|bolo)", "mauka (?:nikal|chala) jayega",
    "soch(?:o|iye) mat", "why are you (?:waiting|thinking)", "जल्दी (?:करो|कीजिए|लो)",
    "मौका (?:निकल|चला) जाएगा", "सोचो मत",
)  # fmt: skip
DISCRETION = cue(
    "whatever you (?:think|feel|like|want)", "as you (?:like|wish|think|feel)", "you decide",
    "(?:up|leave it) to you", "your (?:choice|wish|call)", "whenever you (?:think|feel|like)",
    "(?:jo|jaisa|jab) aap(?:ko)? (?:theek|thik|sahi|achh?a|chah[a-z]*|lage)[a-z]*(?: lage)?",
    "aap(?:ke|ne)? (?:hisab se|dekh lo|dekh lijiye|decide)", "apne hisab se", "aap(?:ki)? marzi",
    "any (?:stock|quantity|price) (?:you|is)", "जो आपको (?:ठीक|सही|अच्छा)", "आप देख (?:लो|लीजिए)",
    "अपने हिसाब से", "आपकी मर्जी",
)  # fmt: skip
_KIN = (
    "(?:wife|husband|father|mother|brother|sister|son|daughter|friend|uncle|papa|mummy|bhai|patni|beta|boss|partner)s?"
)
THIRD_PARTY = cue(
    "on behalf of", f"(?:for|in|from) (?:my|his|her) {_KIN}",
    f"(?:my|mere|meri|mera) {_KIN} (?:ke|ka|account|code|wants|told|ke liye|ki taraf)[a-z]*",
    f"{_KIN} ke (?:account|liye|khate|code)", "(?:his|her|their|unke|uske) (?:account|behalf|khate)",
    "power of attorney", "(?:पत्नी|पिता|भाई|पापा|पति|दोस्त|बेटे) के (?:अकाउंट|खाते|लिए)", "की तरफ से",
)  # fmt: skip
COMPLAINT = cue(
    "complain[a-z]*", "(?:wrong|galat) (?:order|trade|share|stock|entry|quantity)(?! number)",
    "i (?:did not|didnt|never) (?:order|ask|authori[sz]e|place|give|tell|buy|sell)[a-z]*",
    "without (?:my|asking|telling) ?(?:permission|consent|knowledge|me)?", "unauthori[sz]ed",
    "disput[a-z]*", "shikayat", "main ?e? (?:ye |yeh )?(?:nahi|nahin) (?:bola|kaha|kiya|diya)",
    "why (?:did you|was (?:it|this|my)) (?:buy|sell|sold|bought|place|executed?)[a-z]*",
    "bina (?:pooche|puche|bataye)", "शिकायत", "मैंने (?:ये |यह )?नहीं (?:बोला|कहा)", "बिना (?:पूछे|बताए)",
)  # fmt: skip
GREETING = cue(
    "hello", "hi", "good (?:morning|afternoon|evening)", "welcome", "namaste", "namaskar",
    "(?:may|can) i help", "thank(?:s| you) for calling", "haan boliye", "boliye", "नमस्ते", "नमस्कार",
    "हेलो", "हैलो", "बोलिए",
)  # fmt: skip
CLOSING = cue(
    "bye(?: bye)?", "goodbye", "thank(?:s| you)(?: (?:sir|maam|so much|very much))?",
    "have a (?:nice|good|great) (?:day|evening)", "dhanyavaa?d", "shukriya", "thats all", "that is all",
    "see you", "talk to you later", "rakhta hoon", "धन्यवाद", "शुक्रिया", "थैंक यू", "बाय",
)  # fmt: skip
