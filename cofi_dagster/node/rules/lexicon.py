"""The words by which the rules know what is being said, in English, Hindi and Hinglish. Data only; no logic.

Each entry is a regular expression over a plain text: lower case, no punctuation, one space between words and one at
either end. Recognisers write no punctuation and spell Hindi in either script, so that both are here.
"""

from __future__ import annotations

import re


def cue(*alternatives: str) -> re.Pattern[str]:
    """A cue of whole words, bounded by spaces: regex word boundaries fall inside words with Devanagari vowel signs."""
    return re.compile(f"(?<= )(?:{'|'.join(alternatives)})(?= )")


BUY = cue(
    "buy(?:ing)?", "purchas(?:e|ing)",
    "kh?aree?d(?!a (?:tha|hua)|e (?:the|hue)|i (?:thi|hui))[a-z]*( lo| lijiye)?", "le lo", "lelo",
    "le lena", "le lijiye", "le leejiye", "lena", "leni", "lene", "lenge", "lijiye",
    "खरीद(?!ा था|े थे|ी थी)[^ ]*", "ले लो", "ले लीजिए", "ले लेना", "लेना", "लेने", "लेंगे", "लीजिए",
    "लीजिये",
)  # fmt: skip
SELL = cue(
    "sell(?:ing)?", "sale", "bech(?!a (?:tha|hua)|e (?:the|hue)|i (?:thi|hui))[a-z]*(?: do| dijiye)?",
    "nikaa?l (?:do|dijiye|de)", "square off", "exit", "बेच(?!ा था|े थे|ी थी)[^ ]*", "निकाल (?:दो|दीजिए)",
)  # fmt: skip
PAST = cue(
    "bought", "sold", "had (?:ordered|placed)",
    "(?:kharid|khareed|bech)(?:a|e|i) (?:tha|the|thi|hua|hue|hui)", "liy[ae] th[ae]", "(?:खरीदा|बेचा) था",
    "(?:खरीदे|बेचे) थे", "लिया था", "लिए थे",
)  # fmt: skip
MARKET = cue(
    r"(?<!share )(?<!stock )(?<!the )(?<!is )market(?! (?:is|kaisa|kaise|open|close|closed|today|down|up|"
    r"" r"gir|mein kya))" r"(?: (?:rate|price|order))?(?: p(?:e|ar))?",
    "at the market(?: (?:rate|price))?", "(?:the )?market (?:rate|price|order)", "cmp",
    "current (?:market )?(?:rate|price)", "best (?:available )?price", "मार्केट(?: (?:रेट|प्राइस|भाव))?",
    "बाजार भाव",
)  # fmt: skip

ENQUIRY = cue(
    "what(?: ?i?s| are| was)? (?:the )?(?:current |last |latest |share |market )?(?:price|rate|quote|value)(?: of)?",
    "how (?:is|are|was|much is)", "hows", "(?:kya|kitna) (?:bhav|rate|price)",
    "(?:bhav|rate|price) (?:kya|kitna)", "(?:kya|kitna) chal(?: raha)?",
    "kitne (?:pe|par|ka|ki) (?:hai|chal)[a-z]*", "kais[aei] (?:hai|chal|rahega|lag)[a-z]*",
    "should (?:i|we)", "what do you think", "(?:your|aapka|aapki) (?:view|opinion|raay|rai)", "kya lagta",
    "(?:le|lu|loon|lun) kya", "tell me (?:about|the price)", "will (?:it|this) (?:go|rise|fall)",
    "can you tell me", "balance", "dividend", "क्या भाव", "भाव क्या", "कितने (?:पर|पे|का) (?:है|चल)[^ ]*",
    "कैस[ाीे] (?:है|चल|रहेगा)[^ ]*", "कितना चल", "क्या चल", "क्या लगता", "क्या रेट", "रेट क्या",
)  # fmt: skip

_VERB = "(?:buy(?:ing)?|sell(?:ing)?|purchase|place|execute|do)"
NO_ORDER = cue(
    "should (?:i|we)", "why", "what do you think", "(?:did|have) (?:you|i|we)", "if (?:i|we)", "suppose",
    "(?:thinking|think) (?:of|about)", "planning to", "soch rah[ai]", "सोच रह[ाी]", "agar main",
    "i (?:did|have) not (?:ask|order|buy|sell)[a-z]*", "i (?:didnt|never) [a-z]+", "kyun?", "kyo", "क्यों",
    "अगर मैं",
)  # fmt: skip
NEGATED = cue(
    f"(?:dont|do not|not|never) (?:want to |wish to |to |going to )?{_VERB}(?! (?:worry|know|have))",
    "mat (?:lena|lo|le|kharid[a-z]*|khareed[a-z]*|bech[a-z]*|karo|karna|kariye|kijiye|dalo|daalna)",
    "(?:kharid[a-z]*|khareed[a-z]*|bech[a-z]*|le|lena|karo?) (?:mat|nahi|nahin|nai)",
    "(?:nahi|nahin|nai) (?:lena|leni|kharid[a-z]*|khareed[a-z]*|bech[a-z]*|chahiye|karna|lenge)",
    "cancel(?:led|ling)?(?: kar[a-z]*)?", "rehne (?:do|dijiye|de)", "chh?od (?:do|dijiye|de)",
    "forget (?:it|that|about)", "leave it", "never mind", "nevermind", "drop (?:it|that|the)", "hold off",
    "not (?:now|today)", "scrap (?:it|that)", "skip (?:it|that)",
    "मत (?:लेना|लो|लीजिए|खरीद[^ ]*|बेच[^ ]*|करो|करना|कीजिए)", "नहीं (?:लेना|खरीद[^ ]*|बेच[^ ]*|चाहिए|करना)",
    "रहने (?:दो|दीजिए)", "छोड़ (?:दो|दीजिए)", "कैंसिल[^ ]*", "रद्द[^ ]*",
)  # fmt: skip
CORRECTION = cue(
    "make (?:it|that|them)", "change(?: it| that| the)?(?: to)?", "sorry", "i mean(?:t)?", "actually",
    "instead", "correction", "rather", "not", "no", "nahi", "nahin", "nai", "galat", "balki", "ki jagah",
    "badal[a-z]*", "increase", "reduce", "modify", "नहीं", "बल्कि", "की जगह", "बदल[^ ]*",
)  # fmt: skip
CHANGE = cue(
    "make (?:it|that|them)", "change(?: it| that| the)?(?: to)?", "i mean(?:t)?", "instead", "correction",
    "modify", "increase (?:it|that|the)", "reduce (?:it|that|the)", "ki jagah", "badal[a-z]*", "की जगह",
    "बदल[^ ]*",
)  # fmt: skip
ANOTHER = cue(
    "another", "also", "one more", "additional", "aur ek", "ek aur", "bhi", "plus", "भी", "एक और", "और एक",
)  # fmt: skip

ASSENT = cue(
    "yes", "yeah", "yep", "yup", "correct", "right", "ok", "okay", "okey", "confirm(?:ed)?", "go ahead",
    "do it", "please do", "sure", "fine", "perfect", "exactly", "absolutely", "haa?n", "haanji", "ji",
    "theek(?: hai)?", "thee?k(?: hai)?", "thik(?: hai)?", "sahi(?: hai)?", "bilkul", "kar do", "kar dijiye",
    "kar dein?", "kardo", "laga do", "daal do", "done", "हाँ", "हां", "जी", "ठीक(?: है)?", "सही(?: है)?",
    "बिल्कुल", "कर दो", "कर दीजिए", "ओके", "यस",
)  # fmt: skip
DISSENT = cue(
    "no", "nope", "nahi", "nahin", "nai", "wrong", "incorrect", "not (?:correct|right)", "galat", "wait",
    "नहीं", "गलत", "रुको",
)  # fmt: skip

ASKS_QUANTITY = cue(
    "how many", "how much quantity", "(?:what|which) (?:quantity|qty)",
    "kitne (?:share|shares|quantity|lene|bechne|chahiye|lena)", "kitni (?:quantity|qty)",
    "quantity (?:kya|kitni|please|batao|bataiye|sir)", "(?:and )?(?:the )?quantity", "कितने शेयर",
    "कितनी क्वांटिटी", "कितने (?:लेने|बेचने)",
)  # fmt: skip
ASKS_PRICE = cue(
    "(?:at )?(?:what|which) (?:price|rate|level)", "kis (?:price|rate|bhav)",
    "kya (?:price|rate|bhav) (?:pe|par|lagau|lagaun|rakhu|rakhun)",
    "(?:limit or (?:at )?market|market or (?:at )?(?:a )?limit|market (?:ya|pe ya) limit|limit ya market)",
    "(?:any )?price limit", "(?:and )?(?:the )?price", "kitne (?:pe|par|mein)", "किस (?:भाव|रेट|प्राइस)",
    "कितने (?:में|पर|पे)",
)  # fmt: skip
ASKS_SIDE = cue(
    "buy or sell", "buy or a sell", "buying or selling", "lena (?:hai )?ya bechna", "kharidna ya bechna",
    "खरीदना या बेचना",
)  # fmt: skip
ASKS_SYMBOL = cue(
    "(?:which|what) (?:stock|scrip|share|company)", "kaun ?s[aei] (?:stock|share|scrip)?",
    "कौन ?स[ाे] (?:शेयर|स्टॉक)?",
)  # fmt: skip

READ_BACK = cue(
    "confirm(?:ing)?", "let me (?:repeat|confirm|read)", "repeat(?:ing)?",
    "(?:so )?(?:you|aap) (?:want|are|said|would|wish|chahte)",
    "is (?:that|it|this) (?:correct|right|ok|okay|fine)", "correct", "right", "so", "toh?", "matlab",
    "read(?:ing)? (?:it |that )?back", "theek hai na", "sahi hai na", "noted", "aapka order",
    "your order(?: is)?", "shall i", "कंफर्म", "तो", "सही है ना", "ठीक है ना", "आपका ऑर्डर",
)  # fmt: skip
PROPOSAL = cue(
    "shall (?:i|we)", "should i (?:place|buy|sell|put|go)", "kar ?d(?:u|oo|un|oon)", "karu(?:n)?",
    "le l(?:u|oon|un)", "laga d(?:u|un|oon)", "bech d(?:u|un|oon)", "would you like", "do you want",
    "can i (?:place|put|buy|sell)", "कर दूँ", "कर दूं", "ले लूँ", "ले लूं", "बेच दूं", "लगा दूं",
)  # fmt: skip
PLACED = cue(
    "(?:order|trade|it|that|this)(?: (?:is|has|s|has been|have been|got))* (?:placed|executed|done|"
    "" "punched|through|traded|filled)",
    "(?:has|have) been (?:placed|executed|done|traded|filled|bought|sold)",
    "(?:placed|executed|punched|filled)", "order (?:lag|ho|dal|daal) ?(?:gaya|gya|diya|chuka)(?: hai)?",
    "(?:kar|laga|daal|dal|place kar|punch kar) diya(?: hai)?", "ho gaya(?: hai)?", "ऑर्डर (?:लग|हो) गया",
    "लगा दिया", "कर दिया", "हो गया",
)  # fmt: skip

DEALER = cue(
    "(?:how )?(?:may|can) i help", "welcome to", "(?:thank you|thanks) for calling", "calling from",
    "shall i", "should i place", "confirming", "please confirm",
    "confirm (?:karu|kar|karein|please|sir|maam|madam)[a-z]*", "is that (?:correct|right)",
    "(?:so )?(?:you|aap) (?:want|said|chahte)", "how many", "at what price", "which (?:stock|scrip)",
    "(?:your|aapka|aapki) (?:client |account )?(?:code|name|id|order|naam)",
    "let me (?:repeat|confirm|check)", "(?:order|trade) (?:is|has been)? ?(?:placed|executed|done)",
    "placing", "repeat(?:ing)?", "buying", "selling", "i (?:recommend|suggest)", "kitne share",
    "kis (?:rate|price|bhav)", "(?:kar|laga|bech|daal) d(?:u|oo|un|oon)", "boliye", "anything else",
    "aur kuch", "limit or market", "dealing desk", "securities", "broking", "कन्फर्म", "कंफर्म", "बोलिए",
    "आपका (?:नाम|कोड|ऑर्डर)", "कितने शेयर", "किस भाव", "कर दूं", "कर दूँ",
)  # fmt: skip
CLIENT = cue(
    "i (?:want|wanted|would like|wish|need)", "i(?:d| will|ll) (?:like|take|buy|sell)",
    "(?:buy|sell|get) (?:me|my|for me)", "please (?:buy|sell|place|cancel)",
    "my (?:account|client|code|order|name|holding|shares)", "mujhe", "mere (?:liye|account|paas|khate)",
    "mera (?:naam|code|client|account)", "kar do", "kar dijiye", "le lo", "le lijiye", "bech do",
    "bech dijiye", "what is the (?:price|rate)", "kharid lo", "make it", "मुझे", "मेरे", "मेरा", "ले लो",
    "बेच दो", "कर दो",
)  # fmt: skip
DEALER_LABELS = frozenset({"agent", "dealer", "broker", "rm", "advisor", "operator", "executive"})
CLIENT_LABELS = frozenset({"client", "customer", "caller", "investor"})

# -- what the words beside a number say that it is -------------------------------------------------------------
COUNTED_AFTER = cue(
    "(?:equity )?shares?", "qty", "quantity", "stocks?", "units?", "scrips?", "nos", "pieces?", "शेयर[^ ]*",
    "क्वांटिटी", "यूनिट",
)  # fmt: skip
COUNTED_BEFORE = cue(
    "quantity(?: (?:is|of|ki|hai))?", "qty", "number of shares", "क्वांटिटी",
)  # fmt: skip
PRICED_AFTER = cue(
    "rupees?", "rupaye", "rupay", "rs", "bucks", "pe", "par", "mein", "me", "per share",
    "ka (?:bhav|rate|limit)", "ke (?:bhav|rate|limit)[a-z]*", "rate", "bhav", "limit",
    "or (?:below|less|better|above)", "रुपये", "रुपए", "पर", "पे", "में", "के भाव", "का भाव",
)  # fmt: skip
PRICED_BEFORE = cue(
    "at(?: (?:the |a )?(?:price|rate|limit)(?: of)?)?", "price(?: (?:is|of|ka|hai))?",
    "rate(?: (?:is|of))?", "rupees", "rs", "limit(?: (?:of|price|at|is))?", "around", "near", "below",
    "above", "upto", "up to", "bhav", "@", "भाव", "लिमिट", "रेट", "प्राइस",
)  # fmt: skip
LOTS_AFTER = cue(
    "lots?", "contracts?", "लॉट",
)  # fmt: skip
NO_AMOUNT_BEFORE = cue(
    "(?:client |account |my |mera |your |aapka )?(?:code|id|number|account)(?: (?:is|number|hai|"
    "" "no))*(?: [a-z]{1,2})*",
    "target(?: (?:of|is|price))?", "stop ?loss(?: (?:of|at|is))?", "phone", "mobile", "otp",
    "ending(?: (?:with|in))?", "extension", "nifty(?: (?:is|at))?", "sensex(?: (?:is|at))?", "कोड",
    "टारगेट", "(?:trading|chal raha hai|chal rahi hai|currently|running)(?: (?:at|around|near))?",
    "(?:last|current|ltp)(?: (?:traded|price|rate))*(?: (?:is|at))?",
)  # fmt: skip
NO_AMOUNT_AFTER = cue(
    "percent", "pm", "am", "oclock", "baje", "minutes?", "days?", "din", "months?", "mahine", "years?",
    "saal", "seconds?", "ka target", "target", "times?", "chal rah[aie]", "(?:is|hai) the (?:price|rate)",
    "crores? turnover", "फीसदी", "बजे", "दिन", "प्रतिशत", "चल रहा",
)  # fmt: skip
