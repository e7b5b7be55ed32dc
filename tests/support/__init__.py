"""What the tests share: doubles, small pictures and films, and programs of their own."""
