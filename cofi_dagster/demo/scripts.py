"""The day's stories: who called whom and when, what was said, what was executed, and what an audit should find.

Words only: voices and sounds belong to :mod:`cofi_dagster.demo.recording`, files to :mod:`cofi_dagster.demo.batch`.
``D`` is the dealer, ``C`` the client, ``P`` an announcement, ``*ring`` a tone. The words are not those that the
recogniser's phrase grammar was written with: whole orders are found there by chance only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["buy", "sell"]
Verdict = Literal["confirmed", "wrong_quantity", "wrong_side", "price_outside", "not_discussed"]

COMPLETE = ("Complete",)
NOT_HEARD = ("Pending", "UnsupportedLanguage", "Complete")
"""Right ends of a call in a language that the embedded recogniser does not know, and a better one may."""

SPOKEN_AS = {"ITC": "I T C", "ICICI": "I C I C I", "Toubro": "Toobro", "Infosys": "Infosiss"}
"""How dealers say the names that the synthesiser would read as English words."""


@dataclass(frozen=True, slots=True)
class Said:
    """A trade as the call speaks of it; ``price`` None where it was at market."""

    symbol: str
    side: Side
    quantity: int
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """What was executed for a client.

    ``at`` is the order's time of day. ``evidence`` is the name of the story whose call is the order's evidence, or None
    where there is none; ``verdict`` is what the audit should say, None where nothing can be said.
    """

    symbol: str
    side: Side
    quantity: int
    price: float
    at: str
    evidence: str | None = None
    verdict: Verdict | None = None
    client: str = ""
    exchange: str = "NSE"


@dataclass(frozen=True, slots=True)
class Story:
    """One call. ``talk`` has one line per turn; None makes a file that is no audio.

    ``by_phone``: the call's metadata has no client code, so that only the telephone number tells whose call it is.
    """

    name: str
    at: str
    client: str
    talk: str | None
    said: tuple[Said, ...] = ()
    status: tuple[str, ...] = COMPLETE
    language: str | None = "en"
    form: str = "wav"
    by_phone: bool = False


STORIES: tuple[Story, ...] = (
    Story("order at market", "09:16:20", "C1001", """
        D: Good morning, dealing desk, how can I help you?
        C: Good morning. My client code is one zero zero one.
        D: Thank you. What would you like to do today?
        C: I would like to buy one hundred shares of Reliance at market price please.
        D: You want to buy one hundred shares of Reliance at market price. Is that correct?
        C: Yes, that is correct. Please go ahead.
        D: Your order is placed. Thank you, have a nice day.
        """, (Said("RELIANCE", "buy", 100),)),
    Story("limit order", "09:22:05", "C1002", """
        D: Dealing desk, good morning.
        C: Hello, client code one zero zero two. I want to sell two hundred and fifty shares of Infosys.
        D: At market or at a limit?
        C: At a limit of fifteen hundred rupees.
        D: So, sell two hundred and fifty shares of Infosys at a limit of fifteen hundred.
        C: Correct, go ahead.
        D: Done, the order has been placed. Thank you.
        """, (Said("INFY", "sell", 250, 1500.0),), form="stereo"),
    Story("balance enquiry", "09:31:40", "C1003", """
        D: Good morning, how may I help you?
        C: Good morning. What is the balance in my account please?
        D: May I have your client code please?
        C: My code is one zero zero three.
        D: Your balance is forty thousand rupees.
        C: Okay, thank you. No order today. I only wanted to know. Bye.
        """),
    Story("wrong quantity", "09:40:12", "C1004", """
        D: Good morning, dealing desk.
        C: Good morning. Client code one zero zero four.
        D: Yes, what would you like to do?
        C: Please buy one hundred shares of TCS at market.
        D: Okay, buy one hundred shares of TCS at market price. Shall I place it?
        C: Yes, please place the order.
        D: Order placed. Thank you.
        """, (Said("TCS", "buy", 100),)),
    Story("wrong side", "09:55:30", "C1005", """
        D: Good morning, this is the dealing desk.
        C: Hello. I want to sell five hundred shares of Tata Steel at market price.
        D: May I have your client code?
        C: One zero zero five.
        D: You are selling five hundred shares of Tata Steel at market price. Is that right?
        C: Yes, that is right, go ahead.
        D: The order is placed. Bye.
        """, (Said("TATASTEEL", "sell", 500),), form="mp3"),
    Story("never discussed", "10:05:00", "C1006", """
        D: Good morning, dealing desk. How can I help?
        C: Hello. I did not receive my contract note. Can you send me the contract note by email?
        D: Yes sir, I will send it by email today.
        C: Thank you. How is the market today?
        D: The market is up fifty points.
        C: Okay, thank you, bye.
        """),
    Story("called after the order", "10:32:00", "C1007", """
        D: Good morning, dealing desk.
        C: Good morning. Please buy four hundred shares of Wipro at market price for my account.
        D: Buy four hundred shares of Wipro at market price, correct?
        C: Yes, correct.
        D: It is done. Thank you for calling.
        """, (Said("WIPRO", "buy", 400),)),
    Story("short call", "10:36:10", "C1008", "D: Hello, dealing desk.", status=("ShortCall",), language=None),
    Story("order in Hindi", "10:41:25", "C1009", """
        D: Good morning, dealing desk.
        C: नमस्ते। मेरा क्लाइंट कोड एक शून्य शून्य नौ है। मुझे आज शेयर खरीदने हैं।
        D: जी हाँ, बताइए। आपको कौन सा शेयर खरीदना है और कितने?
        C: मुझे स्टेट बैंक के दो सौ शेयर बाज़ार भाव पर खरीदने हैं।
        D: ठीक है, मैं दोहराता हूँ। स्टेट बैंक के दो सौ शेयर, बाज़ार भाव पर खरीदना है। क्या यह सही है?
        C: हाँ जी, बिल्कुल सही है। आप ऑर्डर लगा दीजिए।
        D: आपका ऑर्डर लग गया है। धन्यवाद।
        """, (Said("SBIN", "buy", 200),), NOT_HEARD, "hi"),
    Story("damaged file", "10:50:00", "C1010", None, status=("Pending",), language=None),
    Story("announcement before the talk", "10:58:45", "C1011", """
        P: Welcome to the dealing room. Your call may be recorded for quality and training. Please stay on the line.
        *: ring
        D: Dealing desk, good morning, how can I help you?
        C: Hello. I want to buy fifty shares of Larsen and Toubro at market price please.
        D: Your client code please?
        C: One zero one one.
        D: So you want to buy fifty shares of Larsen and Toubro at market price.
        C: Yes, please go ahead.
        D: Your order has been placed. Thank you.
        """, (Said("LT", "buy", 50),)),
    Story("two orders in one call", "11:10:30", "C1012", """
        D: Good morning, how can I help you today?
        C: Client code one zero one two. I have two orders. First, buy two hundred shares of ITC at market.
        D: Buy two hundred shares of ITC at market. Okay, and the second order?
        C: Then sell six hundred shares of Tata Power at market price.
        D: Sell six hundred shares of Tata Power at market price. Is that correct?
        C: Yes, both are correct. Please place the orders.
        D: Both are placed. Thank you.
        """, (Said("ITC", "buy", 200), Said("TATAPOWER", "sell", 600)), form="stereo"),
    Story("the order came in the first of two calls", "11:25:00", "C1013", """
        D: Dealing desk, good morning.
        C: Good morning. Code number one zero one three. Please buy three hundred shares of HDFC Bank at market price.
        D: Okay, buy three hundred shares of HDFC Bank at market price. Is that correct?
        C: Yes, that is correct, go ahead.
        D: I will place the order now. Thank you.
        """, (Said("HDFCBANK", "buy", 300),)),
    Story("the second call asks for a statement", "11:37:20", "C1013", """
        D: Good morning, dealing desk.
        C: Hello, it is me again. Please send me my statement.
        D: Yes, I will send it by email. Anything else?
        C: No, that is all for today. Thank you. Bye.
        """),
    Story("price outside the limit", "11:52:10", "C1014", """
        D: Good morning, how may I help you?
        C: Hello, client code one zero one four. I want to buy one thousand shares of Coal India.
        D: At what price?
        C: At a limit of four hundred and ten rupees.
        D: Okay, buy one thousand shares of Coal India at a limit of four hundred and ten.
        C: Yes, correct. Go ahead.
        D: The order is placed. Thank you.
        """, (Said("COALINDIA", "buy", 1000, 410.0),), form="ogg"),
    Story("the client corrects the number", "12:08:00", "C1015", """
        D: Good afternoon, dealing desk.
        C: Good afternoon, client code one zero one five. Please sell five hundred shares of Sun Pharma at market.
        D: Sell five hundred shares of Sun Pharma?
        C: No, sorry. Make it three hundred. Sell three hundred shares of Sun Pharma.
        D: Okay, sell three hundred shares of Sun Pharma at market price. Is that right?
        C: Yes, that is right. Thank you.
        D: Order placed. Bye.
        """, (Said("SUNPHARMA", "sell", 300),)),
    Story("nobody answers", "12:20:15", "C1016", "*: ring\n*: ring\n*: ring", status=("NoSpeech",), language=None),
    Story("known by the telephone number only", "12:31:00", "C1017", """
        D: Good afternoon, dealing desk. How can I help you?
        C: Good afternoon. I want to sell one hundred and fifty shares of ICICI Bank at market price.
        D: You want to sell one hundred and fifty shares of ICICI Bank at market price. Is that correct?
        C: Yes, that is correct.
        D: Okay, placing it now. Thank you, have a good day.
        """, (Said("ICICIBANK", "sell", 150),), form="m4a", by_phone=True),
    Story("asks for advice", "12:44:40", "C1018", """
        D: Good afternoon, how can I help you?
        C: Hello. What is the price of Axis Bank? Should I buy Axis Bank today?
        D: Axis Bank is trading at eleven hundred and forty. I cannot advise you on that.
        C: Okay. Let me think about it. I will call you tomorrow. Thank you.
        D: Thank you for calling. Bye.
        """),
    Story("enquiry in Hindi", "12:58:05", "C1019", """
        D: नमस्ते, डीलिंग डेस्क से बोल रहा हूँ। मैं आपकी क्या सहायता कर सकता हूँ?
        C: नमस्ते। मुझे अपने खाते की जानकारी चाहिए। मेरे खाते में कितने रुपये हैं?
        D: एक मिनट रुकिए, मैं देखकर बताता हूँ। आपके खाते में चालीस हज़ार रुपये हैं।
        C: अच्छा, ठीक है। आज मुझे कुछ खरीदना नहीं है। बहुत धन्यवाद।
        D: आपका दिन शुभ हो। नमस्ते।
        """, status=NOT_HEARD, language="hi"),
    Story("order without a read-back", "13:15:30", "C1020", """
        D: Good afternoon, dealing desk.
        C: Good afternoon. Client code one zero two zero. Buy two thousand shares of Tata Motors at market price please.
        D: Okay sir. Anything else?
        C: No, that is all. Thank you, bye.
        """, (Said("TATAMOTORS", "buy", 2000),)),
    Story("order at noon", "13:24:00", "C1021", """
        D: Good afternoon, how may I help you today?
        C: Hello. Please sell seven hundred and fifty shares of State Bank at market.
        D: May I know your client code please?
        C: My client code is one zero two one.
        D: Okay. Sell seven hundred and fifty shares of State Bank at market price. Is that correct?
        C: Yes, correct, please go ahead.
        D: Your order has been placed. Thank you.
        """, (Said("SBIN", "sell", 750),), form="flac"),
)  # fmt: skip

TRADES: tuple[Trade, ...] = (
    Trade("RELIANCE", "buy", 100, 2914.35, "09:17:31", "order at market", "confirmed", "C1001"),
    Trade("INFY", "sell", 250, 1502.10, "09:23:20", "limit order", "confirmed", "C1002"),
    Trade("TCS", "buy", 1000, 3841.00, "09:41:30", "wrong quantity", "wrong_quantity", "C1004"),
    Trade("TATASTEEL", "buy", 500, 142.65, "09:56:40", "wrong side", "wrong_side", "C1005"),
    Trade("TITAN", "buy", 80, 3390.00, "10:12:00", None, "not_discussed", "C1006"),
    Trade("WIPRO", "buy", 400, 462.20, "10:24:00", None, None, "C1007"),
    Trade("SBIN", "buy", 200, 781.50, "10:42:40", "order in Hindi", None, "C1009"),
    Trade("LT", "buy", 50, 3620.75, "11:00:02", "announcement before the talk", "confirmed", "C1011"),
    Trade("ITC", "buy", 200, 431.15, "11:11:45", "two orders in one call", "confirmed", "C1012"),
    Trade("TATAPOWER", "sell", 600, 402.30, "11:12:05", "two orders in one call", "confirmed", "C1012"),
    Trade(
        "HDFCBANK", "buy", 300, 1641.90, "11:40:10", "the order came in the first of two calls", "confirmed", "C1013"
    ),
    Trade("COALINDIA", "buy", 1000, 431.00, "11:53:30", "price outside the limit", "price_outside", "C1014"),
    Trade("SUNPHARMA", "sell", 300, 1722.40, "12:09:15", "the client corrects the number", "confirmed", "C1015"),
    Trade("ICICIBANK", "sell", 150, 1188.00, "12:32:10", "known by the telephone number only", "confirmed", "C1017"),
    Trade("TATAMOTORS", "buy", 2000, 968.80, "13:16:20", "order without a read-back", "confirmed", "C1020"),
    Trade("SBIN", "sell", 750, 779.95, "13:25:35", "order at noon", "confirmed", "C1021", exchange="BSE"),
    Trade("MARUTI", "buy", 25, 12_410.00, "14:02:00", None, None, "C1022"),
)
