"""Programs and performers: what works the queue, tells browsers, keeps the schedule, and alone reaches the world."""
