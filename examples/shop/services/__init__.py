"""The example shop: users, products, orders and notifications, over HTTP, PostgreSQL and Redis."""
