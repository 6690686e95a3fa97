"""The client of Matchbook's reader: lists of recommendations, and events about them."""

from matchbook_client.events import event, impressions, items_of
from matchbook_client.operations import Matchbook
from matchbook_client.transport import MatchbookError

__all__ = ["Matchbook", "MatchbookError", "event", "impressions", "items_of"]
