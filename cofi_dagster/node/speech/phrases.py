"""How people talk at a broker's telephone, as a phrase grammar: what the recogniser's language model is trained on.

Phrases, names and numbers belong here; turning them into probabilities belongs to
:mod:`cofi_dagster.node.speech.language_model`. A rule is a list of alternatives; ``{name}`` stands for another rule,
``(a|b)`` for one of several words, ``[a]`` for words that may be left out. Numbers come from functions, because there
are too many to list. :func:`sentences` draws from the grammar at random with a fixed seed, so that the model is the
same everywhere.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_INDIAN_UNITS = ((10_000_000, "crore"), (100_000, "lakh"), (1000, "thousand"), (100, "hundred"))


def number_words(number: int, joiner: str = "") -> str:
    """``number`` in English words with Indian grouping; ``joiner`` (``and``) stands before what follows hundreds.

    >>> number_words(748_850, "and")
    'seven lakh forty eight thousand eight hundred and fifty'
    """
    for unit, word in _INDIAN_UNITS:
        if number >= unit:
            rest = number % unit
            tail = f" {joiner} " if joiner and unit == 100 and rest else " "
            return f"{number_words(number // unit)} {word}" + (tail + number_words(rest, joiner) if rest else "")
    if number < len(_ONES):
        return _ONES[number]
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def _quantity(draw: random.Random) -> str:
    size = draw.choice((1, 5, 5, 10, 10, 25, 50, 50, 50, 100, 100, 100, 100, 500, 1000, 1000, 10_000, 100_000))
    number = size * draw.randint(1, 19 if size < 100_000 else 5)
    style = draw.random()
    if 100 <= number < 200 and style < 0.2:
        return number_words(number).replace("one hundred", "a hundred", 1)
    if number == 1000 and style < 0.2:
        return "a thousand"
    if 1100 <= number < 10_000 and number % 100 == 0 and number % 1000 and style < 0.25:
        return f"{number_words(number // 100)} hundred"
    if 100 < number < 1000 and number % 100 >= 10 and style < 0.25:
        return f"{number_words(number // 100)} {number_words(number % 100)}"
    return number_words(number, draw.choice(("", "and")))


def _price(draw: random.Random) -> str:
    number = draw.choice((draw.randint(20, 999), draw.randint(10, 399) * 10, draw.randint(1000, 4500)))
    style = draw.random()
    if number > 100 and number % 100 >= 10 and style < 0.33:
        words = f"{number_words(number // 100)} {number_words(number % 100)}"
    elif number > 1000 and style < 0.45:
        words = f"{number_words(number // 100)} hundred" + (f" {number_words(number % 100)}" if number % 100 else "")
    else:
        words = number_words(number, draw.choice(("", "and")))
    fraction = draw.random()
    if fraction < 0.08:
        return f"{words} point {draw.choice(_ONES[1:10])}"
    if fraction < 0.14:
        return f"{words} rupees {draw.choice(['', 'and '])}fifty paise"
    return f"{words}{draw.choice(('', '', ' rupees'))}"


def _digits(draw: random.Random) -> str:
    return " ".join(draw.choice([*_ONES[:10], *_ONES[:10], "double"]) for _ in range(draw.randint(3, 5)))


_FUNCTIONS: dict[str, Callable[[random.Random], str]] = {"quantity": _quantity, "price": _price, "digits": _digits}

RULES: dict[str, tuple[str, ...]] = {
    "buy": ("buy", "buy", "buy", "purchase", "pick up", "add", "take", "get me"),
    "sell": ("sell", "sell", "sell", "sell off", "exit", "book profit in", "dispose of"),
    "side": ("{buy}", "{sell}"),
    "shares": ("shares", "shares of", "shares in", "of", "quantity of", "stocks of", "", "units of"),
    "at": (
        "at market", "at market price", "at the market price", "at the market", "at current market price",
        "at {price}", "at {price}", "at {price}", "at a price of {price}", "at a limit of {price}",
        "limit {price}", "with a limit of {price}", "at rupees {price}", "at the current price",
        "at best price", "in the market", "around {price}", "not above {price}", "not below {price}",
    ),
    "order": (
        "{side} {quantity} {shares} {symbol} {at}", "{side} {quantity} {shares} {symbol} {at}",
        "{side} {quantity} {shares} {symbol}", "{side} {symbol} {quantity} [shares|quantity] {at}",
        "{side} {symbol} {quantity} [shares|quantity]", "{quantity} {shares} {symbol} {side} {at}",
    ),
    "lead": (
        "please", "i want to", "i would like to", "i need to", "can you", "could you", "kindly", "just",
        "okay", "can you please", "let us", "we should", "you can", "i will", "we will", "my order is to",
        "put an order to", "place an order to", "please place an order to", "go ahead and", "then", "also",
        "and", "and then", "today i want to", "first", "second", "now", "for me", "for my account",
    ),
    "client_order": (
        "{lead} {order}", "{lead} {order} please", "{order}", "{order} please", "yes {lead} {order}",
        "{lead} {order} today", "{lead} {order} for my account", "{lead} {order} in my account",
    ),
    "read_back": (
        "(so|okay|okay so|right|let me confirm|to confirm|i repeat|let me repeat|repeating|confirming) {order}",
        "you want to {order}", "[so|okay] you want to {order} (right|correct|is that correct|is that right|)",
        "(so|i am|okay i am|) (buying|selling|placing|putting|purchasing) {quantity} {shares} {symbol} {at}",
        "you are (buying|selling|purchasing) {quantity} {shares} {symbol} {at} (correct|right|is that right|)",
        "{side} {quantity} {symbol} {at} (is that correct|is it correct|is that right|shall i place it|confirm|)",
        "that is {quantity} {shares} {symbol} {at}", "{symbol} {side} {quantity} {at}",
        "{quantity} {symbol} {at} (bought|sold|to buy|to sell)", "your order is (to|) {order}",
        "(buy|sell) order for {quantity} {shares} {symbol} {at}",
        "(buy|sell) side {quantity} {shares} {symbol} {at}",
    ),
    "assent": (
        "yes", "yes please", "yes correct", "yes that is correct", "yes that is right", "correct", "right",
        "okay", "okay", "okay {title}", "okay fine", "fine", "yes go ahead", "go ahead", "please go ahead",
        "yes please go ahead", "confirmed", "yes confirmed", "yes i confirm", "i confirm", "sure",
        "absolutely", "perfect", "yes do it", "yes place it", "that is right", "exactly", "yes sir",
        "yes madam", "yes you can place it", "please place the order", "no", "no no", "no that is wrong",
        "not now", "no thank you", "not today", "no i said {quantity}",
    ),
    "name": (
        "sharma", "mehta", "rao", "patel", "gupta", "singh", "kumar", "shah", "desai", "nair", "iyer", "khan",
        "joshi", "reddy", "das", "priya", "rahul", "anita", "vikram", "sunita", "arjun", "kiran", "neha",
        "ravi",
    ),
    "house": ("desk", "dealing desk", "dealing room", "trading desk", "securities", "broking", "brokers"),
    "hello": ("hello", "good morning", "good afternoon", "good evening", "hi", "namaste"),
    "title": ("sir", "madam", "mister {name}", "miss {name}", "missus {name}", "", ""),
    "greeting": (
        "{hello} {title}", "{hello} {house} {name} speaking", "{hello} this is {name}", "{hello} {name} here",
        "{hello} this is {name} from the {house}", "{hello} {house} how can i help you",
        "{hello} {title} how can i help [you] [today]", "{hello} dealing desk how may i help [you]",
        "this is {name} [speaking]", "{name} speaking", "{hello} i am {name}", "{hello} who is speaking",
        "{hello} {name} this call is being recorded", "this call is recorded", "{hello} {title} tell me",
        "{hello} {title} what can i do for you [today]", "how are you [today]", "i am fine thank you",
    ),
    "identity": (
        "my client code is {digits}", "client code {digits}", "my code is {digits}", "code [number] {digits}",
        "may i have your client code [please]", "can you tell me your client code", "your client code please",
        "what is your client code", "please confirm your client code", "may i know your name",
        "please tell me your client code", "and your name please", "my name is {name}", "thank you {title}",
        "thank you mister {name}", "your date of birth please", "this is {name} client code {digits}",
    ),
    "clearing": (
        "what would you like to do", "what would you like to do today", "which stock", "which scrip",
        "which share", "how many", "how many shares", "what quantity", "at what price", "what price",
        "market or limit", "at market or at a limit", "buy or sell", "do you want to buy or sell",
        "anything else", "anything else sir", "is there anything else", "any other order", "no that is all",
        "that is all", "that is all for today", "nothing else", "one more order", "one more thing",
        "at market", "at market price", "{price}", "{quantity}", "{quantity} shares", "{symbol}",
        "{symbol} please", "make it {quantity}", "make that {quantity}", "sorry {quantity}",
        "i said {quantity}", "not {quantity} but {quantity}", "one moment please", "one minute please",
        "please hold", "just a moment", "let me check", "sorry", "can you repeat [that] [please]",
        "please repeat", "i did not hear you", "are you there",
    ),
    "check": (
        "is that correct", "is that right", "is it correct", "is it right", "correct", "right", "am i right",
        "shall i (place|do|execute) it", "shall i place the order", "can i place it", "should i go ahead",
        "confirm", "do you confirm", "please confirm", "is this correct", "is this okay", "okay with you",
    ),
    "help": (
        "how (can|may) i help you [today]", "how (can|may) i help you [today]", "how (can|may) i help [you]",
        "what can i do for you", "tell me", "how can i be of help", "yes please tell me",
    ),
    "many": (
        "i have (two|three) orders", "there are two orders", "the (first|second|next|other) order",
        "and the (next|second|other) one", "what is the (second|next) one",
        "both orders are (done|placed|in)", "both are (right|correct|done|placed)",
        "(the|my) first (one|order) is to {order}", "the second is {order}", "first {order}",
        "second {order}", "then {order}", "and {order}", "also {order}", "both [please]",
    ),
    "done": (
        "order placed", "[the|your] order is placed", "[the|your] order has been placed",
        "i am placing the order [now]", "i will place it [now]", "i will place the order [now]",
        "i am placing it [now]", "it is done", "done", "done sir", "your order is executed", "it is executed",
        "it is executed at {price}", "executed", "order is in the system", "you will get a message",
        "you will get a confirmation", "the order number is {digits}", "placing it now",
        "we will call you [when it is done]", "i will call you back", "i will inform you",
        "your {symbol} order is (done|executed|complete) [at {price}]",
    ),
    "goodbye": (
        "thank you", "thank you very much", "thanks", "thank you bye", "bye", "bye bye", "goodbye",
        "have a nice day", "have a good day", "thank you for calling", "welcome", "you are welcome",
        "thank you goodbye", "thanks bye", "okay bye", "okay thank you", "thank you sir",
        "thank you have a good day", "talk to you later",
    ),
    "enquiry": (
        "what is the price of {symbol}", "what is the rate of {symbol}", "what is {symbol} trading at",
        "how is {symbol} [doing] [today]", "what is the current price of {symbol} [please]",
        "where is {symbol} today", "how is the market [today]", "where is the market [today]",
        "how is the nifty [today]", "is the market up or down", "{symbol} is at {price}",
        "{symbol} is trading at {price}", "it is at {price}", "it is trading at {price}",
        "it is up {number} rupees", "it is down {number} rupees", "{symbol} is up [by] {number} percent",
        "the (market|nifty) is (up|down) [by] {number} (points|percent)", "the nifty is at {price}",
        "it is (up|down) [by] {number} (points|percent)", "(up|down) {number} points",
        "the market is (up|down|flat)", "what is my balance", "what is my [account] balance [please]",
        "how much money is in my account", "your balance is {price}", "your balance is {quantity} rupees",
        "your margin is {quantity} rupees", "i want to know my (balance|holding|margin|position)",
        "what are my holdings", "how many shares of {symbol} do i have",
        "you have {quantity} shares of {symbol}", "you hold {quantity} shares of {symbol}",
        "when will i get my (money|dividend|payout|statement)",
        "please send me my (statement|contract note|ledger)", "can you send me the contract note",
        "i will send it by (mail|email)", "it will come (today|tomorrow|on monday)",
        "i did not receive (my|the) (statement|contract note|dividend|message)", "please check and tell me",
        "what do you think (of|about) {symbol}", "what is your view on {symbol}", "any news on {symbol}",
        "should i buy {symbol}", "should i sell {symbol}", "should i hold", "i cannot advise you on that",
        "the results were (good|bad|fine)", "the results are tomorrow",
        "it looks (good|weak|strong|expensive)", "i do not want to trade today",
        "i do not want to buy anything [now]", "i am only asking", "i will think about it",
        "i will call you later", "i will call you (tomorrow|again|in the evening)", "no order today",
        "i only wanted to know", "let me think about it", "call me when it comes to {price}",
        "did my order go through", "was my order executed", "is my order done", "what happened to my order",
        "has my {symbol} order been executed", "your order was executed at {price}",
        "i am calling about my (order|account)", "i have a question about my account",
        "i want to change my (address|bank account|phone number|email)", "please fill in the form",
        "you can do it on the website", "the form is on the website", "please cancel my order",
        "cancel the {symbol} order", "i want to cancel", "modify the price to {price}",
    ),
    "number": (
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "fifteen",
        "twenty", "twenty five", "thirty", "forty", "fifty", "a hundred",
    ),
    "prompt": (
        "welcome to {house}", "your call is important to us",
        "this call may be recorded [for quality and training]", "please stay on the line",
        "for trading press one", "press one for trading", "press two for (accounts|support)",
        "please wait while we connect you", "all our dealers are busy", "your call will be recorded",
    ),
    "turn": (
        "{client_order}", "{client_order}", "{client_order}", "{client_order}", "{client_order}",
        "{read_back}", "{read_back}", "{read_back}", "{read_back}", "{assent}", "{assent}",
        "{assent} {read_back}", "{assent} {assent}", "{assent} {done}", "{assent} {client_order}",
        "{greeting}", "{greeting}", "{greeting} {greeting}", "{greeting} {client_order}",
        "{greeting} {identity}", "{greeting} {enquiry}", "{identity}", "{identity}",
        "{identity} {client_order}", "{clearing}", "{clearing}", "{check}", "{check}", "{check}", "{help}",
        "{help}", "{hello} {help}", "{greeting} {help}", "{many}", "{many}", "{read_back} {check}",
        "{read_back} {check}", "{assent} {many}", "{hello}", "{assent} {clearing}", "{done}",
        "{done} {goodbye}", "{done} {clearing}", "{goodbye}", "{assent} {goodbye}", "{enquiry}", "{enquiry}",
        "{enquiry} {enquiry}", "{enquiry} {clearing}", "{assent} {enquiry}", "{prompt}",
    ),
}  # fmt: skip

_REFERENCE = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\(([^()]*)\)")
_OPTION = re.compile(r"\[([^\[\]]*)\]")


def sentences(count: int, symbols: Sequence[str], seed: int = 1) -> Iterator[list[str]]:
    """``count`` turns of talk as lists of words; ``symbols`` are the names of stocks as they are spoken."""
    draw = random.Random(seed)
    for _ in range(count):
        yield _expand("{turn}", draw, symbols).split()


def _expand(text: str, draw: random.Random, symbols: Sequence[str]) -> str:
    def referred(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "symbol":
            return draw.choice(symbols)
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](draw)
        return _expand(draw.choice(RULES[name]), draw, symbols)

    def chosen(match: re.Match[str]) -> str:
        return draw.choice(str(match.group(1)).split("|"))

    def optional(match: re.Match[str]) -> str:
        return chosen(match) if draw.random() < 0.5 else ""

    return _REFERENCE.sub(referred, _CHOICE.sub(chosen, _OPTION.sub(optional, text)))
