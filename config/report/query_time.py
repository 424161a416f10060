"""Where a query's seconds go: prefill, decode, tools and waiting, and how the model's turns ended.

Imports nothing of the other report modules, because Metrics holds a QueryTime.
"""

from config.records import Record


class Measured(Record):
    """Median and 90th percentile over the prompts for which a value is known."""

    median: float
    p90: float
    """nearest rank: the smallest value that at least 90% of the values do not exceed"""
    of: int
    """prompts for which it is known"""


class Share(Record):
    """A count and its total."""

    count: int
    of: int


class QueryTime(Record):
    """Seconds and tokens per prompt of one model. A value is null where no prompt shows it.

    The seconds of a prompt are prefill + decode + tools + waiting. The medians of the four need not add up to the
    median of the whole. worker/evaluate/query_time.py defines each.
    """

    prompts: int
    """prompts whose times were recorded"""
    prefill: Measured | None = None
    """seconds from sending a request until the prompt was read, with the time in the server's queue"""
    decode: Measured | None = None
    """seconds from then until the answer was complete"""
    tools: Measured | None = None
    """seconds in tool calls"""
    waiting: Measured | None = None
    """the other seconds: neither the server nor a tool had the conversation"""
    prompt_tokens: Measured | None = None
    """prompt tokens of all requests of a prompt"""
    cached_tokens: Measured | None = None
    """of those, tokens that the server took from its prompt cache"""
    output_tokens: Measured | None = None
    """generated tokens"""
    cached: Share | None = None
    """prompt tokens served from the cache, of all prompt tokens of the requests that report it"""
    stopped: Share
    """turns that a stop token ended with text and no call, of all turns"""
    called: Share
    """turns that ended with a tool call"""
    cut: Share
    """turns that the token limit ended"""
