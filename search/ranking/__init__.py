"""From a query to ranked assets: retrieval, calibration, fusion, moments, cursors."""
