"""Who answers: third parties over HTTP, and what keeps their faults from customers."""
