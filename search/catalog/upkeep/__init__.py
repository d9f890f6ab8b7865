"""Keeping the catalogue sound: migrations, health, backup."""
